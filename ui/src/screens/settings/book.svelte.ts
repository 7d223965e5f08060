// The settings that a person chose, as the daemon reads and writes them: one key at a time, each with how its last change
// went.
import { SvelteMap } from 'svelte/reactivity'
import { api, done, problemOf, Refused } from '../../api/client'
import type { Problem, Setting, SettingsReport } from '../../api/types'

/** How the last change of a key went. */
export type Change = { kind: 'saving' } | { kind: 'saved' } | { kind: 'refused'; problem: Problem } | { kind: 'conflict' }

class Book {
  report: SettingsReport | undefined = $state.raw()
  /** Why there is no report. */
  problem: Problem | undefined = $state.raw()
  #changes = new SvelteMap<string, Change>()

  of(key: string): Setting | undefined {
    return this.report?.settings.find((setting) => setting.key === key)
  }

  change(key: string): Change | undefined {
    return this.#changes.get(key)
  }

  /** Reads everything anew, for a person who comes to look. */
  async load(): Promise<void> {
    this.#changes.clear()
    await this.#read()
  }

  /** Changes keys together; `null` takes one out of the file. Whether it was done. */
  async set(values: Record<string, unknown>): Promise<boolean> {
    const all = (change: Change): void => Object.keys(values).forEach((key) => this.#changes.set(key, change))
    const digest = this.report?.digest
    all({ kind: 'saving' })
    try {
      this.report = await done(api.PATCH('/v1/settings', { body: { set: values, ...(digest === undefined ? {} : { digest }) } }))
      all({ kind: 'saved' })
      return true
    } catch (error) {
      const conflict = error instanceof Refused && error.status === 409
      // What is shown must be what is so: the control goes back to it.
      await this.#read()
      all(conflict ? { kind: 'conflict' } : { kind: 'refused', problem: problemOf(error) })
      return false
    }
  }

  async #read(): Promise<void> {
    try {
      this.report = await done(api.GET('/v1/settings'))
      this.problem = undefined
    } catch (error) {
      this.problem = problemOf(error)
    }
  }
}

export const book = new Book()
