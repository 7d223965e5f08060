// What can be done with an environment from everywhere it is shown: one at a time, and what went wrong stays beside it.
import { SvelteMap } from 'svelte/reactivity'
import { api, done, problemOf, Refused } from '../../api/client'
import type { AutomationStatus, Environment, Grant, Problem } from '../../api/types'
import type { components } from '../../generated/api'
import { host } from '../../host'
import type { Action } from '../../actions.svelte'
import { confirm, toast } from '../../kit/ask.svelte'
import { go } from '../../routes'
import { cove } from '../../state/cove.svelte'
import { words } from '../../words/index.svelte'
import { canStop, runs, urlOf, type Tab } from './model'

type Patch = components['schemas']['EnvironmentPatch']

/** What is being asked for each environment, by its id. */
const asking = new SvelteMap<string, string>()
const failures = new SvelteMap<string, Problem>()

export function isAsking(environment: Environment, what?: string): boolean {
  const asked = asking.get(environment.id)
  return what === undefined ? asked !== undefined : asked === what
}

/** What went wrong with the last thing that was asked for it. */
export function failureOf(environment: Environment): Problem | undefined {
  return failures.get(environment.id)
}

export function forgetFailure(environment: Environment): void {
  failures.delete(environment.id)
}

/** Asks for something; what fails is shown beside the environment. Says whether it was done. */
export async function ask(environment: Environment, what: string, call: () => Promise<Environment | undefined | void>): Promise<boolean> {
  asking.set(environment.id, what)
  failures.delete(environment.id)
  try {
    const changed = await call()
    if (changed) cove.took(changed)
    return true
  } catch (error) {
    failures.set(environment.id, problemOf(error))
    return false
  } finally {
    asking.delete(environment.id)
  }
}

/** A session that means: again. */
export function fresh(): string {
  return crypto.randomUUID()
}

export function change(environment: Environment, patch: Patch): Promise<Environment> {
  return done(api.PATCH('/v1/environments/{environment}', { params: { path: { environment: environment.id } }, body: patch }))
}

export function start(environment: Environment): Promise<boolean> {
  cove.progress(environment.id).clear()
  return ask(environment, 'start', () => change(environment, { desired_phase: 'running', retry: fresh() }))
}

export function stop(environment: Environment): Promise<boolean> {
  return ask(environment, 'stop', () => change(environment, { desired_phase: 'stopped' }))
}

/** Makes the container anew, once a person who knows what that costs agrees. */
export async function rebuild(environment: Environment, lost: string[], kept: string[]): Promise<boolean> {
  const { name } = environment.metadata
  const said = words.environments.rebuild
  const costs = [said.text, ...lost.map(said.lost), ...kept.map(said.kept)]
  if (!(await confirm({ title: said.title(name), text: costs, action: said.action, danger: lost.length > 0 }))) return false
  cove.progress(environment.id).clear()
  return ask(environment, 'rebuild', () => change(environment, { desired_phase: 'running', rebuild: fresh(), retry: fresh() }))
}

/** Removes it, after saying what goes and what stays; once more where work would be lost that is nowhere else. */
export async function remove(environment: Environment): Promise<boolean> {
  const said = words.environments.remove
  const { name } = environment.metadata
  const { source } = environment.spec
  const stays = source.type === 'clone' ? said.clone(source.url) : said.folder(source.path)
  if (!(await confirm({ title: said.title(name), text: [said.text, stays, said.volumes], action: said.action, danger: true }))) return false
  const call = (force: boolean): Promise<Environment> =>
    done(api.DELETE('/v1/environments/{environment}', { params: { path: { environment: environment.id }, query: { force } } }))
  return ask(environment, 'remove', async () => {
    try {
      return await call(false)
    } catch (error) {
      if (!(error instanceof Refused && error.problem.code === 'E0120')) throw error
      const { title, causes = [], log_tail = [] } = error.problem
      const question = { title: said.unsaved(name), text: [title, ...causes, ...log_tail], action: said.anyway, danger: true }
      return (await confirm(question)) ? call(true) : undefined
    }
  })
}

export async function copySsh(environment: Environment): Promise<void> {
  await copy(`ssh ${environment.metadata.name}.cove`)
}

export async function copy(text: string): Promise<void> {
  try {
    await host.copy(text)
    toast(words.common.copied)
  } catch {
    toast(words.common.copyFailed, 'bad')
  }
}

export function openInEditor(environment: Environment): Promise<boolean> {
  return ask(environment, 'editor', async () => {
    if (host.openInEditor) await host.openInEditor(environment.metadata.name)
    else await copy(`cove open ${environment.metadata.name}`)
  })
}

export function openUrl(url: string): void {
  host.openExternal(url).catch((error: unknown) => toast(problemOf(error).title, 'bad'))
}

export function show(environment: Environment, tab?: Tab, query: Record<string, string> = {}): void {
  go('environments', tab ? [environment.metadata.name, tab] : [environment.metadata.name], query)
}

/** Starts, stops or restarts a task or service. */
export function wish(environment: Environment, item: AutomationStatus, run: boolean): Promise<boolean> {
  const automations = { [item.name]: { run, session: fresh() } }
  return ask(environment, `${run ? 'run' : 'halt'} ${item.name}`, () => change(environment, { automations }))
}

/** Takes a credential back, after asking. */
export async function revoke(environment: Environment, grant: Grant): Promise<boolean> {
  const said = words.environments.grants
  const { kind, host } = grant
  if (!(await confirm({ title: said.revokeTitle(said.kinds[kind], host ?? undefined), text: [said.revokeText], action: said.revoke, danger: true }))) return false
  const query = { kind, ...(host ? { host } : {}) }
  return ask(environment, `revoke ${kind} ${host}`, () =>
    done(api.DELETE('/v1/environments/{environment}/grants', { params: { path: { environment: environment.id }, query } })),
  )
}

/** All that can be done with an environment, for the palette. */
export function actionsOf(environment: Environment): Action[] {
  const said = words.environments
  const { name } = environment.metadata
  const entry = (id: string, title: string, icon: Action['icon'], run: () => unknown): Action => {
    const action: Action = { id: `environment.${environment.id}.${id}`, title, group: name, run: async () => void (await run()) }
    if (icon) action.icon = icon
    return action
  }
  const up = canStop(environment)
  const actions = [
    entry('show', said.actions.show, 'environments', () => show(environment)),
    up ? entry('stop', words.common.stop, 'stop', () => stop(environment)) : entry('start', words.common.start, 'start', () => start(environment)),
    entry('editor', host.openInEditor ? said.actions.editor : said.actions.editorCommand, 'editor', () => openInEditor(environment)),
    entry('terminal', said.actions.terminal, 'terminal', () => show(environment, 'terminal')),
    entry('ssh', said.actions.ssh, 'copy', () => copySsh(environment)),
    entry('logs', said.actions.logs, 'activity', () => show(environment, 'logs')),
    entry('forward', said.actions.forward, 'link', () => show(environment, 'ports')),
    entry('plan', said.actions.plan, 'info', () => show(environment, 'plan')),
    entry('rebuild', said.actions.rebuild, 'restart', () => show(environment, 'plan')),
    entry('events', said.actions.events, 'activity', () => show(environment, 'events')),
    entry('grant', said.actions.grant, 'key', () => show(environment, 'grants', { new: '1' })),
    entry('remove', said.actions.remove, 'remove', () => remove(environment)),
  ]
  for (const grant of environment.spec.grants ?? []) {
    const what = said.grants.kinds[grant.kind]
    actions.push(entry(`revoke.${grant.kind}.${grant.host}`, said.grants.revokeTitle(what, grant.host ?? undefined), 'key', () => revoke(environment, grant)))
  }
  for (const port of environment.status.ports) {
    const url = urlOf(port)
    if (url) actions.push(entry(`port.${port.host_port}`, said.actions.port(port.label ?? String(port.container_port)), 'link', () => openUrl(url)))
  }
  if (runs(environment)) {
    for (const item of environment.status.automations?.items ?? []) {
      const alive = ['running', 'starting', 'waiting', 'pausing'].includes(item.phase)
      actions.push(entry(item.name, alive ? said.actions.halt(item.name) : said.actions.run(item.name), alive ? 'stop' : 'start', () => wish(environment, item, !alive)))
    }
  }
  return actions
}

