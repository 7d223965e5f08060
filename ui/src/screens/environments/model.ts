// What of an environment is shown, as plain functions of it.
import type { components } from '../../generated/api'
import type { AutomationStatus, Environment, PortStatus, StepKind } from '../../api/types'
import type { Tone } from '../../kit/Badge.svelte'

export type PortWish = components['schemas']['PortWish']
export type AutomationPhase = AutomationStatus['phase']
export type GrantKind = components['schemas']['GrantKind']

export const TABS = ['overview', 'logs', 'terminal', 'ports', 'automations', 'plan', 'events', 'grants', 'secrets'] as const
export type Tab = (typeof TABS)[number]

/** Whether something is being done for it right now. */
export function isBusy({ status, spec }: Environment): boolean {
  if (status.problem) return false
  if (['starting', 'updating', 'stopping', 'deleting'].includes(status.phase)) return true
  return status.phase === 'creating' || (spec.desired_phase === 'running' && status.phase !== 'running')
}

/** Whether it is on its way up, so that its steps are worth a look. */
export function comesUp(environment: Environment): boolean {
  return isBusy(environment) && environment.spec.desired_phase === 'running'
}

/** Whether its container runs, as far as is known. */
export function runs({ status }: Environment): boolean {
  return status.container?.running === true
}

/** Whether there is more to be done to have it down than nothing. */
export function canStop({ spec, status }: Environment): boolean {
  return spec.desired_phase === 'running' || (status.phase !== 'stopped' && spec.desired_phase !== 'deleted')
}

export function tone(environment: Environment): Tone {
  const { status } = environment
  if (status.problem) return 'bad'
  if (isBusy(environment)) return 'busy'
  if (status.phase !== 'running') return 'idle'
  const failed = status.automations?.items.some((item) => item.phase === 'failed')
  return failed || status.warnings.length > 0 ? 'warn' : 'good'
}

export function phaseTone(phase: AutomationPhase): Tone {
  if (phase === 'running' || phase === 'succeeded') return 'good'
  if (phase === 'failed') return 'bad'
  return phase === 'idle' || phase === 'stopped' ? 'idle' : 'busy'
}

/** The folder or repository a person knows it by. */
export function sourceOf({ spec: { source } }: Environment): string {
  if (source.type !== 'clone') return source.path
  return source.branch ? `${source.url}#${source.branch}` : source.url
}

/** What a step is called among the words. */
export function stepKey(step: StepKind): string {
  return step.kind === 'run_hook' ? `run_hook.${step.stage}` : step.kind
}

/** What a port is inside, as people write it: `3000`, `db:5432`, `5353/udp`. */
export function inside(port: PortWish | PortStatus): string {
  const service = port.service ? `${port.service}:` : ''
  return `${service}${port.container_port}${port.transport === 'udp' ? '/udp' : ''}`
}

/** The address of a port in a browser, where there can be one. */
export function urlOf(port: PortStatus): string | undefined {
  if (port.transport === 'udp' || port.host_port == null) return undefined
  return `${port.protocol === 'https' ? 'https' : 'http'}://localhost:${port.host_port}`
}

/** The same by its lasting name, if it is one that a browser opens. */
export function nameOf(port: PortStatus): string | undefined {
  return port.address && /^https?:\/\//.test(port.address) ? port.address : undefined
}

export function samePort(a: PortWish | PortStatus, b: PortWish | PortStatus): boolean {
  return a.container_port === b.container_port && (a.transport ?? 'tcp') === (b.transport ?? 'tcp') && (a.service ?? null) === (b.service ?? null)
}

/** A port as people write it: `3000`, `db:5432`, `5353/udp`, `8080=3000`. `undefined` for what is none. */
export function parsePort(text: string): PortWish | undefined {
  const found = /^(?:(\d{1,5})=)?(?:([^\s:=/]+):)?(\d{1,5})(?:\/(tcp|udp))?$/.exec(text.trim())
  if (!found) return undefined
  const [, host, service, port, transport] = found
  const numbers = [host, port].filter((part) => part !== undefined).map(Number)
  if (numbers.some((number) => number < 1 || number > 65_535)) return undefined
  const wish: PortWish = { container_port: Number(port), transport: transport === 'udp' ? 'udp' : 'tcp' }
  if (service) wish.service = service
  if (host) wish.host_port = Number(host)
  return wish
}

/** How many of each kind there are, for one line: services that run, tasks that run, those that failed. */
export function automationsOf({ status }: Environment): { all: number; running: number; failed: number } {
  const items = status.automations?.items ?? []
  return { all: items.length, running: items.filter((item) => ['running', 'starting'].includes(item.phase)).length, failed: items.filter((item) => item.phase === 'failed').length }
}

/** Times after which an unused environment may stop, in seconds. */
export const IDLE_TIMES = [15 * 60, 30 * 60, 3600, 2 * 3600, 4 * 3600, 8 * 3600, 24 * 3600]

/** Times for which something may be granted, in seconds; the first is the usual one. */
export const GRANT_TIMES = [8 * 3600, 3600, 24 * 3600, 7 * 86_400, 31 * 86_400]

/** Whether each kind of credential is for a host: one, one or all, or none. */
export const HOSTS: Record<GrantKind, 'one' | 'any' | 'none' | 'usual'> = { 'ssh-agent': 'any', git: 'one', signing: 'none', gh: 'usual', registry: 'one' }

/** Whether all words of a search are in what is known of it. */
export function matches(environment: Environment, query: string): boolean {
  const text = `${environment.metadata.name} ${environment.status.title ?? ''} ${sourceOf(environment)} ${environment.status.phase}`.toLowerCase()
  return query.toLowerCase().split(/\s+/).every((word) => text.includes(word))
}
