// All that the console knows of an organization: read once, then kept true by one watch. Nothing is asked again on a clock.
import { api, done, lines, problemOf, Refused } from './api'
import { KINDS, PLURAL } from './kinds'
import { isWhole, lets } from './rights'
import type { ChangeMessage, Document, Kind, Me, Of, Problem, ServerInfo, Verb } from './types'

/** Pauses before the server is tried again, in milliseconds; the last one repeats. */
const PAUSES = [200, 500, 1000, 2000, 5000]

/** Resources in one answer. */
const PAGE = 500

/** More changes at once than this are read as lists. */
const MANY = 20

export type Connection =
  | { kind: 'connecting' }
  | { kind: 'live' }
  | { kind: 'away'; problem: Problem }
  /** No role lets this person hear of anything: each further try would be one more line of the audit log. */
  | { kind: 'refused'; problem: Problem }
  /** The server runs and does not know this browser. */
  | { kind: 'signed-out' }

type Lists = { [K in Kind]: Of<K>[] }

const nothing = (): Lists => Object.fromEntries(KINDS.map((kind) => [kind, []])) as unknown as Lists

class Team {
  connection: Connection = $state.raw({ kind: 'connecting' })
  info: ServerInfo | undefined = $state.raw()
  me: Me | undefined = $state.raw()
  lists: Lists = $state.raw(nothing())
  /** Whether the lists have been read at least once. */
  ready = $state(false)
  /** Why the link that this page was opened with let nobody in. */
  refusedLink: Problem | undefined = $state.raw()
  /** Rises with each change that was heard of. */
  changes = $state(0)

  /** The last version that was heard of. */
  #version: number | undefined
  /** Ids of what is gone: an answer that was on its way then does not bring it back. */
  #gone = new Set<string>()
  #stale = new Map<string, { kind: Kind; name: string }>()
  #reading = false
  /** Whether something changed that could not be read. What is shown stays until it can. */
  #missed = false
  #wake: (() => void) | undefined

  /** The organization of whoever is signed in. */
  get organization(): string {
    return this.me?.organization ?? ''
  }

  /** Whether they may do this with at least some of a kind. The server decides about each. */
  may(verb: Verb, kind: Kind): boolean {
    return this.me?.permits[kind]?.includes(verb) ?? false
  }

  /** Whether they may do this with a resource, as far as can be seen here. */
  mayWith(verb: Verb, one: Document): boolean {
    if (!this.may(verb, one.kind)) return false
    const person = this.me?.principal
    return person?.kind !== 'user' || !isWhole(this.lists) || lets(person.name, verb, one, this.lists)
  }

  /** A resource by name. */
  named<K extends Kind>(kind: K, name: string): Of<K> | undefined {
    return this.lists[kind].find((known) => known.metadata.name === name)
  }

  /** Takes in what a call answered before the watch tells of it. */
  took(document: Document): void {
    const { kind } = document
    if (this.#gone.has(document.metadata.id)) return
    const others = this.lists[kind].filter(({ metadata }) => metadata.id !== document.metadata.id)
    const known = this.lists[kind].find(({ metadata }) => metadata.id === document.metadata.id)
    if (known && known.metadata.resource_version > document.metadata.resource_version) return
    this.#set(kind, [...others, document].sort(byName))
  }

  /** Tries the server again now, not after the pause. */
  retry(): void {
    this.#wake?.()
  }

  /** Ends the session. */
  async signOut(): Promise<void> {
    await done(api.POST('/v1/sign-out'))
    this.#forget()
    this.connection = { kind: 'signed-out' }
  }

  /** Follows the server for as long as the page lives. */
  async follow(): Promise<never> {
    for (let attempt = 0; ; attempt += 1) {
      try {
        await this.#watch(() => (attempt = 0))
      } catch (error) {
        this.#lost(error)
      }
      const pause = PAUSES[Math.min(attempt, PAUSES.length - 1)]
      const waits = this.connection.kind === 'signed-out' || this.connection.kind === 'refused'
      await new Promise<void>((resolve) => {
        this.#wake = resolve
        // Who is signed out comes back by a link or by the provider, which loads the page anew.
        if (!waits) setTimeout(resolve, pause)
      })
    }
  }

  async #watch(answered: () => void): Promise<void> {
    await this.#enter()
    this.info = await done(api.GET('/v1/info'))
    this.me = await done(api.GET('/v1/me'))
    const ending = new AbortController()
    try {
      const path = `/v1/organizations/${encodeURIComponent(this.organization)}/watch`
      for await (const message of lines<ChangeMessage>(path, { since: this.#version }, ending.signal)) {
        answered()
        if (message.type === 'changed') this.#changed(message)
        else await this.#caughtUp(message.type === 'expired')
        this.#version = message.resource_version
      }
    } finally {
      ending.abort()
    }
  }

  /** Takes a link that works once. */
  async #enter(): Promise<void> {
    const once = /^#token=([\w-]+)$/.exec(location.hash)?.[1]
    if (!once) return
    // Out of the address before anything else, so that it is not copied with it.
    history.replaceState(null, '', location.pathname)
    try {
      await done(api.POST('/v1/console/enter', { body: { token: once } }))
      this.refusedLink = undefined
      this.#forget()
    } catch (error) {
      this.refusedLink = problemOf(error)
    }
  }

  #forget(): void {
    this.me = undefined
    this.lists = nothing()
    this.ready = false
    this.#version = undefined
    this.#gone.clear()
  }

  async #caughtUp(expired: boolean): Promise<void> {
    // It may be other rights that made what is known too old.
    if (expired) {
      this.#gone.clear()
      this.me = await done(api.GET('/v1/me'))
    }
    if (expired || !this.ready || this.#missed) await this.#list()
    // Whoever signed out meanwhile stays so.
    if (this.me && this.connection.kind !== 'live') this.connection = { kind: 'live' }
  }

  #lost(error: unknown): void {
    if (error instanceof Refused && error.status === 401) {
      this.#forget()
      this.connection = { kind: 'signed-out' }
    } else {
      const kind = error instanceof Refused && error.status === 403 ? 'refused' : 'away'
      this.connection = { kind, problem: problemOf(error) }
    }
  }

  async #list(): Promise<void> {
    const shown = KINDS.filter((kind) => this.may('list', kind) && kind !== 'Organization')
    const lists = nothing()
    const own = api.GET('/v1/organizations/{organization}/{kind}/{name}', { params: { path: { organization: this.organization, kind: 'organizations', name: this.organization } } })
    if (this.may('get', 'Organization')) lists.Organization = [(await done(own)) as Of<'Organization'>]
    await Promise.all(shown.map(async (kind) => Object.assign(lists, { [kind]: await this.#listOf(kind) })))
    // What was on its way when somebody signed out is of no one any more.
    if (!this.me) return
    this.lists = lists
    this.ready = true
    this.#missed = false
  }

  async #listOf(kind: Kind): Promise<Document[]> {
    const all: Document[] = []
    for (;;) {
      const after = all.at(-1)?.metadata.name
      const path = { organization: this.organization, kind: PLURAL[kind] }
      const page = await done(api.GET('/v1/organizations/{organization}/{kind}', { params: { path, query: { limit: PAGE, ...(after ? { after } : {}) } } }))
      all.push(...page)
      if (page.length < PAGE) return all.filter(({ metadata }) => !this.#gone.has(metadata.id))
    }
  }

  #changed(change: Extract<ChangeMessage, { type: 'changed' }>): void {
    this.changes += 1
    const { kind, name, gone, id } = change
    // A role or a group that changes may change what is allowed here.
    if (kind === 'Role' || kind === 'Group' || kind === 'User') void this.#again()
    if (gone) {
      this.#gone.add(id)
      this.#set(kind, this.lists[kind].filter(({ metadata }) => metadata.id !== id))
      return
    }
    // Theirs again: what somebody sees no more is gone for them as well.
    this.#gone.delete(id)
    if (!this.may('get', kind) && !this.may('list', kind)) return
    this.#stale.set(id, { kind, name })
    void this.#read()
  }

  /** Who this is, again: what they may do may be other than it was. */
  async #again(): Promise<void> {
    try {
      const before = JSON.stringify(this.me?.permits)
      this.me = await done(api.GET('/v1/me'))
      if (before !== JSON.stringify(this.me.permits)) await this.#list()
    } catch (error) {
      if (error instanceof Refused && error.status === 401) this.#lost(error)
      else this.#missed = true
    }
  }

  // One reading at a time: what changes meanwhile is read once, after it.
  async #read(): Promise<void> {
    if (this.#reading) return
    this.#reading = true
    try {
      while (this.#stale.size > 0) {
        const stale = [...this.#stale.values()]
        this.#stale.clear()
        if (stale.length > MANY) await this.#list()
        else await Promise.all(stale.map(({ kind, name }) => this.#readOne(kind, name)))
      }
    } catch {
      // The watch breaks as well, and what was not read is listed again by it.
      this.#missed = true
    } finally {
      this.#reading = false
    }
  }

  /** Reads a resource now, without waiting for the watch to tell of it; nothing where there is none for this person. */
  async read(kind: Kind, name: string): Promise<Document | undefined> {
    await this.#readOne(kind, name)
    return this.named(kind, name)
  }

  async #readOne(kind: Kind, name: string): Promise<void> {
    try {
      const path = { organization: this.organization, kind: PLURAL[kind], name }
      this.took(await done(api.GET('/v1/organizations/{organization}/{kind}/{name}', { params: { path } })))
    } catch (error) {
      // It is gone by now, or is nothing that this person may see.
      if (!(error instanceof Refused && (error.status === 404 || error.status === 403))) throw error
      this.#set(kind, this.lists[kind].filter(({ metadata }) => metadata.name !== name))
    }
  }

  #set(kind: Kind, documents: Document[]): void {
    this.lists = { ...this.lists, [kind]: documents }
  }
}

function byName(a: Document, b: Document): number {
  return a.metadata.name.localeCompare(b.metadata.name)
}

export const team = new Team()
