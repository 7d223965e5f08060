// What is done with resources; each asks before something is lost, and says what the server refused.
import { confirm, toast } from '../kit/ask.svelte'
import { api, done, problemOf } from './api'
import { PLURAL } from './kinds'
import { team } from './team.svelte'
import type { Document, Draft, Of, Problem } from './types'
import { words } from './words'

class Failures {
  /** What the last thing that was tried failed with, until it is closed. */
  last: Problem | undefined = $state.raw()
}

export const failures = new Failures()

/** Does it, and shows what it is refused with. Whether it was done. */
export async function attempt(work: () => Promise<unknown>): Promise<boolean> {
  failures.last = undefined
  try {
    await work()
    return true
  } catch (error) {
    failures.last = problemOf(error)
    return false
  }
}

/** Makes a resource or changes it, from the version that is shown. */
export async function save(draft: Draft): Promise<Document> {
  const path = { organization: team.organization, kind: PLURAL[draft.kind], name: draft.metadata.name }
  const saved = await done(api.PUT('/v1/organizations/{organization}/{kind}/{name}', { params: { path }, body: draft }))
  team.took(saved)
  return saved
}

/** The draft that leaves a resource as it is but for these fields. */
export function changed<D extends Document>(one: D, fields: Partial<D['spec']>): Draft {
  const { name, labels, resource_version } = one.metadata
  const metadata = { name, resource_version, ...(labels ? { labels } : {}) }
  return { kind: one.kind, metadata, spec: { ...one.spec, ...fields } } as Draft
}

export async function remove(one: Document, lost?: string[]): Promise<void> {
  const { kind, metadata } = one
  const title = words.console.deleteOne(metadata.name)
  const text = lost ?? [words.console.deleteText(words.console.kinds[kind], metadata.name)]
  if (!(await confirm({ title, text, action: words.console.delete, danger: true }))) return
  await attempt(async () => {
    const path = { organization: team.organization, kind: PLURAL[kind], name: metadata.name }
    const query = { resource_version: metadata.resource_version }
    const going = await done(api.DELETE('/v1/organizations/{organization}/{kind}/{name}', { params: { path, query } }))
    if (going) team.took(going)
    else toast(words.console.deleted(metadata.name))
    // The button that was pressed goes with its row.
    document.getElementById('main')?.focus()
  })
}

type Environment = Of<'Environment'>

export async function start(one: Environment): Promise<void> {
  await attempt(() => save(changed(one, { desired_phase: 'running' })))
}

export async function stop(one: Environment): Promise<void> {
  const said = words.console.environments
  const agreed = await confirm({ title: said.stop(one.metadata.name), text: [said.stopText(one.metadata.name)], action: words.common.stop })
  if (agreed) await attempt(() => save(changed(one, { desired_phase: 'stopped' })))
}

/** What is lost with an environment, as far as its runner told. */
export function unsavedIn(one: Environment): string {
  const said = words.console.environments
  const { unsaved } = one.status
  return unsaved == null ? said.unsavedUnknown : said.unsavedText(unsaved)
}

export async function revoke(runner: string): Promise<void> {
  const said = words.console.runners
  if (!(await confirm({ title: said.revokeOne(runner), text: [said.revokeText(runner)], action: said.revoke, danger: true }))) return
  const path = { organization: team.organization, name: runner }
  const revoked = await attempt(() => done(api.POST('/v1/organizations/{organization}/runners/{name}/revoke', { params: { path } })))
  if (revoked) toast(said.revoked(runner))
}
