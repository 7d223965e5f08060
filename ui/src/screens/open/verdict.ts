// How an environment stands that shall run, as `cove up` judges it.
import type { Environment, Problem } from '../../api/types'

export type Verdict =
  | { kind: 'going' }
  /** It can be worked in, and goes on. */
  | { kind: 'usable' }
  | { kind: 'up' }
  | { kind: 'stopped' }
  | { kind: 'failed'; problem: Problem }

/** The codes that ask a person something. */
export const CONSENT_NEEDED = 'E0108'
export const CLONE_DENIED = 'E0119'

/** Judges a wish of `generation`; what is told of an earlier one does not count. */
export function judge({ spec, status }: Environment, generation: number): Verdict {
  if ((status.observed_generation ?? 0) < generation) return { kind: 'going' }
  if (spec.desired_phase !== 'running') return { kind: 'stopped' }
  // What may pass was tried again by then: a problem in the status has stopped the work.
  if (status.problem && status.retry === spec.retry) return { kind: 'failed', problem: status.problem }
  const holds = (kind: string): boolean | undefined => status.conditions?.find((condition) => condition.kind === kind)?.holds
  if (status.phase === 'running' && !status.step && !status.problem && holds('ready') !== false) return { kind: 'up' }
  if (status.step?.kind === 'run_hook' && holds('usable')) return { kind: 'usable' }
  return { kind: 'going' }
}
