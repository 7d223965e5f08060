// Calls to the control plane, typed by its OpenAPI document. The session is a cookie that no script can read.
import createClient from 'openapi-fetch'
import { valuesOf } from '../api/splitter'
import type { paths } from '../generated/control'
import type { Problem } from './types'

/** A call that was not done: what the server says, or that it cannot be reached. */
export class Refused extends Error {
  constructor(
    readonly problem: Problem,
    /** The status of HTTP; 0 where there was no answer. */
    readonly status: number,
  ) {
    super(problem.title)
    this.name = 'Refused'
  }
}

export const api = createClient<paths>({ baseUrl: location.origin, fetch: reach })

async function reach(request: Request): Promise<Response> {
  try {
    return await fetch(request, { cache: 'no-store', credentials: 'same-origin', redirect: 'error' })
  } catch (error) {
    if (request.signal.aborted) throw error
    throw new Refused(local('E0512', 'The control plane does not answer'), 0)
  }
}

/** What a call gave, or its problem thrown as [`Refused`]. */
export async function done<T>(call: Promise<{ data?: T; error?: unknown; response: Response }>): Promise<T> {
  const { data, error, response } = await call
  if (response.ok) return data as T
  throw refusal(error, response.status)
}

/** The values of an answer that goes on: one JSON value a line. */
export async function* lines<T>(path: string, query: Record<string, number | undefined>, signal: AbortSignal): AsyncGenerator<T> {
  const target = new URL(path, location.origin)
  for (const [key, value] of Object.entries(query)) if (value !== undefined) target.searchParams.set(key, String(value))
  const response = await reach(new Request(target, { signal }))
  if (!response.ok) throw refusal(await response.json().catch(() => undefined), response.status)
  yield* valuesOf<T>(response)
}

/** The refusal that the body of an answer holds. */
function refusal(body: unknown, status: number): Refused {
  if (typeof body === 'object' && body !== null && 'problem' in body) return new Refused(body.problem as Problem, status)
  return new Refused(local('E0001', `The control plane answered ${status} without a reason`), status)
}

/** A problem of anything that was thrown, so that nothing fails without being shown. */
export function problemOf(error: unknown): Problem {
  if (error instanceof Refused) return error.problem
  return local('E0001', error instanceof Error ? error.message : String(error))
}

function local(code: Problem['code'], title: string): Problem {
  return { code, title }
}
