// How far the first run is. It is kept in the browser, so that one that was closed in the middle goes on where it was.
import type { Environment } from '../../api/types'
import { cove } from '../../state/cove.svelte'

const KEPT = 'cove.first-run'

export const STEPS = ['checks', 'size', 'example'] as const

export type Step = (typeof STEPS)[number]

interface Kept {
  step: Step
  /** The environment of the example, once it was started. */
  environment?: string
  /** It was left, or came to its end. */
  over?: boolean
}

function read(): Kept {
  try {
    const kept = JSON.parse(localStorage.getItem(KEPT) ?? '{}') as Partial<Kept>
    return { ...kept, step: STEPS.find((step) => step === kept.step) ?? 'checks' }
  } catch {
    return { step: 'checks' }
  }
}

class FirstRun {
  #kept: Kept = $state.raw(read())

  get step(): Step {
    return this.#kept.step
  }

  /** The environment of the example, if it was started and still is there. */
  get example(): Environment | undefined {
    return cove.environments.find(({ id }) => id === this.#kept.environment)
  }

  /** Whether it shall be shown to who opens the page and asks for nothing else. */
  get due(): boolean {
    return !this.#kept.over && (cove.environments.length === 0 || this.example !== undefined)
  }

  go(step: Step): void {
    this.#keep({ ...this.#kept, step })
  }

  started(environment: Environment): void {
    this.#keep({ step: 'example', environment: environment.id })
  }

  over(): void {
    this.#keep({ ...this.#kept, over: true })
  }

  #keep(kept: Kept): void {
    this.#kept = kept
    localStorage.setItem(KEPT, JSON.stringify(kept))
  }
}

export const firstRun = new FirstRun()
