// Steps in words.
import type { StepKind } from '../../api/types'
import type { Words } from '../../words/index.svelte'

type Key = keyof Words['common']['steps']

/** The key of a step in `words.common.steps`: hooks have one for each. */
export function keyOf(step: StepKind): Key {
  return (step.kind === 'run_hook' ? `run_hook.${step.stage}` : step.kind) as Key
}
