// Wishes of this page: asked of the daemon, and asked again once a person answered.
import { api, done } from '../../api/client'
import type { Environment } from '../../api/types'
import { host, type Opened } from '../../host'
import { cove, MACHINE } from '../../state/cove.svelte'
import { requestFor, subjectOf, type Wish } from './request'

/** Wishes that this page asked for, by environment: what was said counts for the next question too. */
const wishes = new Map<string, Wish>()

/** The wish that an environment is on its way by; after a reload what its sources say. */
export function wishOf(environment: Environment): Wish {
  return wishes.get(environment.id) ?? { ...subjectOf(environment), answers: new Map() }
}

/** Asks for it. */
export async function ask(wish: Wish, known?: Environment): Promise<Environment> {
  // Told again from the beginning: what an earlier wish did is not this one's.
  if (known) cove.progress(known.id).clear()
  cove.progress(MACHINE).clear()
  const environment = await done(api.POST('/v1/environments', { body: requestFor(wish) }))
  // Once is enough: the next round must not make the container anew again.
  wishes.set(environment.id, { ...wish, rebuild: false })
  cove.took(environment)
  const { folder, repository, branch } = wish
  const opened: Opened = { ...(folder && { folder }), ...(repository && { repository }), ...(branch && { branch }) }
  // A list of conveniences: that it is not written holds nothing up.
  void host.remember?.(opened).catch(() => undefined)
  return environment
}

const KEPT = 'cove.open.editor'

/** Whether the editor is to be opened once an environment is up; as the person said last. */
export const editorWish = {
  get wanted(): boolean {
    return localStorage.getItem(KEPT) !== 'no'
  },
  set wanted(wanted: boolean) {
    localStorage.setItem(KEPT, wanted ? 'yes' : 'no')
  },
}

/** Environments whose editor is to be opened by this page, each once. */
export const editorsToOpen = new Set<string>()
