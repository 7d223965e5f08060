// What a place that shows the page can do.
import type { Problem } from '../api/types'

/** How the daemon is reached. An empty `url` is where the page came from. */
export interface Session {
  url: string
  token: string
}

/** What a person asked to be opened, by a link, a folder or a file. */
export interface Opened {
  folder?: string
  repository?: string
  branch?: string
  /** Whether a link says so, which any page can have. */
  link?: boolean
  /** Why it cannot be opened. */
  refused?: Problem
}

export interface Host {
  readonly kind: 'browser' | 'app'
  /** A session; throws when there is none to be had, with a reason for people. */
  session(): Promise<Session>
  copy(text: string): Promise<void>
  openExternal(url: string): Promise<void>
  /** Absent where no daemon can be started from. */
  startDaemon?(): Promise<void>
  pickFolder?(): Promise<string | undefined>
  openInEditor?(environment: string): Promise<void>
  takeOpened?(): Promise<Opened | undefined>
  /** Calls back whenever there is something to take; gives what ends that. */
  onOpened?(listener: () => void): () => void
  /** What a person started lately, newest first. */
  recent?(): Promise<Opened[]>
  remember?(opened: Opened): Promise<void>
  forgetRecent?(): Promise<void>
  /** Whether the app starts at login; `undefined` where it cannot. */
  loginItem?: { get(): Promise<boolean | undefined>; set(wanted: boolean): Promise<void> }
  /** The version of the app itself. */
  appVersion?(): Promise<string>
}

/** A session is over, or there never was one: how to get another. */
export class NoSession extends Error {}
