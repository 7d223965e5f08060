// Events and lines of the audit log, in words.
import type { AuditRecord, Environment, Event } from '../../api/types'
import type { Tone } from '../../kit/Badge.svelte'
import { bytes, clock, duration, moment, number } from '../../words/format'
import { language, words } from '../../words/index.svelte'

/** An event that is worth a row: output, progress and mere changes are not. */
export function isTold(event: Event): boolean {
  return !['changed', 'progress', 'log', 'port_listens'].includes(event.kind.type)
}

export function isTrouble(event: Event): boolean {
  return event.kind.type === 'step_failed' || event.kind.type === 'warning'
}

/** Whom an event is about. */
export function subject(event: Event, environments: Environment[]): string {
  if (event.object.kind === 'machine') return words.activity.theMachine
  return environments.find((environment) => environment.id === event.object.id)?.metadata.name ?? words.activity.gone
}

export function toneOf(event: Event): Tone {
  switch (event.kind.type) {
    case 'step_failed':
      return 'bad'
    case 'warning':
      return 'warn'
    case 'step_finished':
      return 'good'
    default:
      return 'idle'
  }
}

/** What happened, in one line. */
export function summary(event: Event): string {
  const of = words.activity.events
  switch (event.kind.type) {
    case 'step_started':
      return of.began(stepName(event.kind.step))
    case 'step_finished':
      return of.ended(stepName(event.kind.step), duration(event.kind.millis))
    case 'step_failed':
      return `${of.failed(stepName(event.kind.step))} · ${event.kind.problem.title}`
    case 'warning':
      return event.kind.problem.title
    case 'removed':
      return of.removed
    case 'port_listens':
      return of.port(event.kind.port.container_port)
    default:
      return event.kind.type
  }
}

/** What a step was about: an image, a hook. */
export function detail(event: Event): string {
  return event.kind.type === 'step_started' ? event.kind.detail : ''
}

/** The name of a step. */
export function stepName(step: Extract<Event['kind'], { type: 'step_started' }>['step']): string {
  const names = words.common.steps
  return step.kind === 'run_hook' ? names[`run_hook.${step.stage}`] : names[step.kind]
}

export type AuditKind = AuditRecord['event']['type']

export const AUDIT_KINDS: AuditKind[] = ['granted', 'revoked', 'expired', 'used', 'refused', 'flooded', 'exec', 'ssh', 'identified', 'healed']

export function auditTone(record: AuditRecord): Tone {
  switch (record.event.type) {
    case 'refused':
    case 'flooded':
      return 'bad'
    case 'granted':
    case 'used':
      return 'warn'
    case 'healed':
      return 'busy'
    default:
      return 'idle'
  }
}

/** A line of the audit log, in words. */
export function auditLine(record: AuditRecord): string {
  const of = words.activity.audit
  const event = record.event
  switch (event.type) {
    case 'granted':
      return of.granted(what(event), moment(event.expires_at))
    case 'revoked':
    case 'expired':
      return what(event)
    case 'used':
      return of.used(what(event), event.purpose)
    case 'refused':
      return of.refused(what(event), event.purpose, event.reason)
    case 'flooded':
      return of.flooded(number(event.refused))
    case 'exec':
      return of.exec(event.program, event.user ?? '')
    case 'ssh':
      return of.ssh
    case 'identified':
      return of.identified(event.audience)
    case 'healed':
      return of.healed(bytes(event.bytes))
  }
}

function what(event: { kind: keyof typeof words.activity.grants.kinds; host?: string | null }): string {
  const kind = words.activity.grants.kinds[event.kind]
  return event.host ? words.activity.audit.onHost(kind, event.host) : kind
}

/** When something happened, as short as it is clear: the time of today, the day before that. */
export function when(time: string, now = new Date()): string {
  const then = new Date(time)
  if (then.toDateString() === now.toDateString()) return clock(then)
  const year = then.getFullYear() === now.getFullYear() ? {} : ({ year: 'numeric' } as const)
  return new Intl.DateTimeFormat(language.current, { month: 'short', day: 'numeric', hour: 'numeric', minute: '2-digit', ...year }).format(then)
}
