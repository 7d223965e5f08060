// Answers that go on: one JSON value a line.
import { reach, refusal } from './client'
import { valuesOf } from './splitter'

/** The values of an answer, as they come. Ends with it, or throws when it breaks. */
export async function* lines<T>(
  path: string,
  query: Record<string, string | number | boolean | undefined> = {},
  signal?: AbortSignal,
): AsyncGenerator<T> {
  const asked = new URLSearchParams()
  for (const [key, value] of Object.entries(query)) if (value !== undefined) asked.set(key, String(value))
  const response = await reach(asked.size > 0 ? `${path}?${asked}` : path, { signal: signal ?? null })
  if (!response.ok) throw refusal(await response.json().catch(() => undefined), response.status)
  yield* valuesOf<T>(response)
}
