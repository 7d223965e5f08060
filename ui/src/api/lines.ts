// Answers that go on: one JSON value a line.
import { reach, refusal } from './client'

/** A longer line is dropped rather than held: no value of the API has so many characters. */
const LONGEST = 8 << 20

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
  if (!response.body) return
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader()
  let rest = ''
  try {
    for (;;) {
      const { value, done } = await reader.read()
      if (done) break
      rest += value
      let start = 0
      for (let end = rest.indexOf('\n', start); end >= 0; end = rest.indexOf('\n', start)) {
        if (end > start) yield JSON.parse(rest.slice(start, end)) as T
        start = end + 1
      }
      rest = rest.slice(start)
      if (rest.length > LONGEST) rest = ''
    }
    if (rest.trim()) yield JSON.parse(rest) as T
  } finally {
    await reader.cancel().catch(() => undefined)
  }
}
