// Calls to the daemon, typed by its OpenAPI document.
import createClient, { type Client } from 'openapi-fetch'
import type { paths } from '../generated/api'
import type { Session } from '../host'
import type { Problem, ProblemCode } from './types'

/** A call that was not done: what the daemon says, or that it cannot be reached. */
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

let session: Session = { url: '', token: '' }

/** Calls by path; made anew when the session changes. */
export let api: Client<paths> = client()

/** From now on calls go to this daemon, in this session. */
export function connect(to: Session): void {
  session = to
  api = client()
}

function client(): Client<paths> {
  return createClient<paths>({ baseUrl: session.url || location.origin, fetch: (request) => reach(request) })
}

/** `fetch` for a path of the daemon. Throws [`Refused`] where it cannot be reached. */
export async function reach(request: Request | string, init?: RequestInit): Promise<Response> {
  const target = typeof request === 'string' ? new URL(request, session.url || location.origin) : request
  const authorized = new Request(target, init)
  authorized.headers.set('Authorization', `Bearer ${session.token}`)
  try {
    return await fetch(authorized, { cache: 'no-store', credentials: 'omit', redirect: 'error' })
  } catch (error) {
    if (authorized.signal.aborted) throw error
    throw new Refused(local('E0007', 'Cove’s daemon does not answer', 'cove daemon'), 0)
  }
}

/** A WebSocket to a path of the daemon, in this session. */
export function socket(path: string): WebSocket {
  const url = new URL(path, session.url || location.origin)
  url.protocol = 'ws:'
  const socket = new WebSocket(url, ['cove', `token.${session.token}`])
  socket.binaryType = 'arraybuffer'
  return socket
}

/** What a call gave, or its problem thrown as [`Refused`]. */
export async function done<T>(call: Promise<{ data?: T; error?: unknown; response: Response }>): Promise<T> {
  const { data, error, response } = await call
  if (response.ok) return data as T
  throw refusal(error, response.status)
}

/** The refusal that the body of an answer holds. */
export function refusal(body: unknown, status: number): Refused {
  if (typeof body === 'object' && body !== null && 'problem' in body) return new Refused(body.problem as Problem, status)
  return new Refused(local('E0001', `The daemon answered ${status} without a reason`, 'cove doctor'), status)
}

/** A problem of anything that was thrown, so that nothing fails without being shown. */
export function problemOf(error: unknown): Problem {
  if (error instanceof Refused) return error.problem
  return local('E0001', error instanceof Error ? error.message : String(error), 'cove doctor')
}

function local(code: ProblemCode, title: string, command: string): Problem {
  return { code, title, causes: [], hints: [{ text: '', command }], log_tail: [] } as unknown as Problem
}
