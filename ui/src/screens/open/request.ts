// What is asked of the daemon for something that is opened.
import type { Consent, Environment, UpRequest } from '../../api/types'

/** Something to be opened, as the address of the screen names it. */
export interface Subject {
  folder?: string
  repository?: string
  branch?: string
}

export interface Wish extends Subject {
  name?: string
  /** Whether git may use this computer's credentials for the clone. */
  grant?: boolean
  rebuild?: boolean
  /** What the person was asked, and said. */
  answers: Map<string, boolean>
}

/** What is known of a name that is about to be made: the last part of a path or URL. */
export function nameOf({ folder, repository }: Subject): string {
  const last = (folder ?? repository ?? '').replace(/\/+$/, '').split(/[/:]/).at(-1) ?? ''
  return last.replace(/\.git$/, '')
}

/** The sources of an environment that is there, to ask for it again. */
export function subjectOf({ spec: { source } }: Environment): Subject {
  if (source.type !== 'clone') return { folder: source.path }
  return source.branch ? { repository: source.url, branch: source.branch } : { repository: source.url }
}

/** The request for a wish. A page has none of the person's variables: those that the command line gave stay. */
export function requestFor(wish: Wish): UpRequest {
  const { folder, repository, branch, name, grant = false, rebuild = false, answers } = wish
  const said = [...answers]
  return {
    ...(repository ? { repository: { url: repository, grant, ...(branch && { branch }) } } : { folder: folder ?? '' }),
    ...(name && { name }),
    rebuild,
    consents: said.filter(([, allowed]) => allowed).map(([digest]) => digest),
    // Who said no to something gets the rest without it; who said no such thing is asked what shows later.
    unasked: said.some(([, allowed]) => !allowed) ? 'leave_out' : 'wait',
    keep_variables: true,
  }
}

/** Questions that were not answered yet. */
export function open(consents: Consent[], answers: Map<string, boolean>): Consent[] {
  return consents.filter(({ digest }) => !answers.has(digest))
}
