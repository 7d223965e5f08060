// All that the page knows of the daemon: read once, then kept true by one watch. Nothing is asked again on a clock.
import { api, connect, done, problemOf, Refused } from '../api/client'
import { lines } from '../api/lines'
import type { Environment, Event, Machine, Problem, Version, WatchMessage } from '../api/types'
import { host, NoSession } from '../host'
import { Progress } from './progress.svelte'

/** The machine there is unless a person asks for more. */
export const MACHINE = 'default'

/** Events that are kept to be shown; the last ones. */
const MOST_EVENTS = 500

/** Pauses before the daemon is tried again, in milliseconds; the last one repeats. */
const PAUSES = [200, 500, 1000, 2000, 5000]

export type Connection =
  | { kind: 'connecting' }
  | { kind: 'live' }
  | { kind: 'away'; problem: Problem }
  /** The daemon runs and does not know this page. */
  | { kind: 'no-session' }

export type Listener = (event: Event) => void

class Cove {
  connection: Connection = $state.raw({ kind: 'connecting' })
  version: Version | undefined = $state.raw()
  environments: Environment[] = $state.raw([])
  machine: Machine | undefined = $state.raw()
  /** Newest last. */
  events: Event[] = $state.raw([])
  /** Rises whenever something changed among what the machine’s engine has. */
  dockerChanges = $state(0)
  /** Whether the lists have been read at least once. */
  ready = $state(false)

  // Made with what they are of, and not where they are first read: what is made within a derivation is not followed by it.
  #progress = new Map<string, Progress>()
  #listeners = new Set<Listener>()
  /** The last event that was heard of. */
  #sequence: number | undefined
  #stale = new Set<string>()
  #reading = false
  /** Whether something changed that could not be read: the daemon went meanwhile. What is shown stays until it can. */
  #missed = false
  #wake: (() => void) | undefined

  constructor() {
    this.progress(MACHINE)
  }

  /** The environment with this name. */
  named(name: string): Environment | undefined {
    return this.environments.find((environment) => environment.metadata.name === name)
  }

  /** How the environment with this id, or the machine with this name, comes up. */
  progress(id: string): Progress {
    const known = this.#progress.get(id)
    if (known) return known
    const made = new Progress()
    this.#progress.set(id, made)
    return made
  }

  /** Calls back for each event; gives what ends that. */
  on(listener: Listener): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /** Takes in what a call answered before the watch tells of it. */
  took(environment: Environment): void {
    this.#put(environment)
  }

  /** Tries the daemon again now, not after the pause. */
  retry(): void {
    this.#wake?.()
  }

  /** Follows the daemon for as long as the page lives. */
  async follow(): Promise<never> {
    for (let attempt = 0; ; attempt += 1) {
      try {
        await this.#watch(() => (attempt = 0))
      } catch (error) {
        this.#lost(error)
      }
      const pause = PAUSES[Math.min(attempt, PAUSES.length - 1)]
      await new Promise<void>((resolve) => {
        this.#wake = resolve
        setTimeout(resolve, pause)
      })
    }
  }

  async #watch(answered: () => void): Promise<void> {
    connect(await host.session())
    const version = await done(api.GET('/v1/version'))
    // Another daemon has another count of events where its store was lost; it says so by `list_again`.
    this.version = version
    const ending = new AbortController()
    try {
      for await (const message of lines<WatchMessage>('/v1/watch', { since: this.#sequence, docker: true }, ending.signal)) {
        answered()
        if (message.type === 'event') this.#take(message)
        else if (message.type === 'docker_changed') this.dockerChanges += 1
        else await this.#caughtUp(message)
      }
    } finally {
      ending.abort()
    }
  }

  async #caughtUp(message: Exclude<WatchMessage, { type: 'event' }>): Promise<void> {
    if (!('sequence' in message)) return
    this.#sequence = message.sequence
    if (message.type === 'list_again' || !this.ready || this.#missed) await this.#list()
    if (this.connection.kind !== 'live') this.connection = { kind: 'live' }
  }

  #lost(error: unknown): void {
    if (error instanceof NoSession || (error instanceof Refused && error.status === 401)) {
      this.connection = { kind: 'no-session' }
    } else {
      this.connection = { kind: 'away', problem: problemOf(error) }
    }
  }

  async #list(): Promise<void> {
    const [environments, machine] = await Promise.all([
      done(api.GET('/v1/environments')),
      done(api.GET('/v1/machines/{machine}', { params: { path: { machine: MACHINE } } })),
    ])
    for (const { id } of environments) this.progress(id)
    this.environments = environments.toSorted(byName)
    this.machine = machine
    this.ready = true
    this.#missed = false
  }

  #take(event: Event): void {
    this.#sequence = event.sequence
    if (isNews(event)) this.events = [...this.events.slice(1 - MOST_EVENTS), event]
    const { kind, id } = event.object
    if (event.kind.type === 'changed') this.#changed(event)
    else if (event.kind.type === 'removed') {
      this.environments = this.environments.filter((environment) => environment.id !== id)
      this.#progress.delete(id)
    } else this.progress(kind === 'machine' ? MACHINE : id).take(event)
    for (const listener of this.#listeners) listener(event)
  }

  #changed(event: Event): void {
    const { kind, id } = event.object
    const known = kind === 'machine' ? this.machine : this.environments.find((known) => known.id === id)
    // A reading of the machine measures it, which is a change: what was read since is not read again.
    if (known && event.sequence <= known.metadata.resource_version) return
    this.#stale.add(kind === 'machine' ? '' : id)
    void this.#read()
  }

  // One reading at a time: what changes meanwhile is read once, after it.
  async #read(): Promise<void> {
    if (this.#reading) return
    this.#reading = true
    try {
      while (this.#stale.size > 0) {
        const stale = [...this.#stale]
        this.#stale.clear()
        if (stale.length > 20) await this.#list()
        else await Promise.all(stale.map((id) => this.#readOne(id)))
      }
    } catch {
      // The watch breaks as well, and what was not read is listed again by it.
      this.#missed = true
    } finally {
      this.#reading = false
    }
  }

  async #readOne(id: string): Promise<void> {
    if (id === '') {
      this.machine = await done(api.GET('/v1/machines/{machine}', { params: { path: { machine: MACHINE } } }))
      return
    }
    try {
      this.#put(await done(api.GET('/v1/environments/{environment}', { params: { path: { environment: id } } })))
    } catch (error) {
      if (!(error instanceof Refused && error.status === 404)) throw error
      this.environments = this.environments.filter((environment) => environment.id !== id)
    }
  }

  #put(environment: Environment): void {
    const known = this.environments.find((known) => known.id === environment.id)
    if (known && known.metadata.resource_version > environment.metadata.resource_version) return
    const others = this.environments.filter((known) => known.id !== environment.id)
    this.progress(environment.id)
    this.environments = [...others, environment].sort(byName)
  }
}

/** Whether it is shown among the events: not what only moves a bar, fills a log, or says that something is to be read. */
function isNews({ kind: { type } }: Event): boolean {
  return type !== 'log' && type !== 'progress' && type !== 'changed'
}

function byName(a: Environment, b: Environment): number {
  return a.metadata.name.localeCompare(b.metadata.name)
}

export const cove = new Cove()
