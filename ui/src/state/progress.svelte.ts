// How an environment or the machine comes up, as the events tell it.
import type { Event, Problem, StepKind, Unit } from '../api/types'

/** Lines of a step's log that are kept; the last ones. */
const MOST_LINES = 2000

export interface Item {
  name: string
  current: number
  total?: number
  unit: Unit
}

export interface Step {
  step: StepKind
  detail: string
  started: number
  /** In milliseconds, once it ended well. */
  took?: number
  problem?: Problem
  items: Item[]
  log: { text: string; error: boolean }[]
}

/** Whether two are the same step. */
export function sameStep(a: StepKind, b: StepKind): boolean {
  return a.kind === b.kind && ('stage' in a ? a.stage : undefined) === ('stage' in b ? b.stage : undefined)
}

/** The steps of one wish, oldest first. */
export class Progress {
  steps: Step[] = $state.raw([])
  #drawn = false

  /** Takes an event of its object into account. */
  take(event: Event): void {
    const kind = event.kind
    switch (kind.type) {
      case 'step_started': {
        const last = this.steps.at(-1)
        // Tried again: the attempt before is told by its problem until now.
        const before = last?.problem && sameStep(last.step, kind.step) ? this.steps.slice(0, -1) : this.steps
        const started = Date.parse(event.time)
        this.steps = [...before, { step: kind.step, detail: kind.detail, started, items: [], log: [] }]
        return
      }
      case 'progress': {
        const step = this.#current(kind.step, event)
        const item: Item = { name: kind.item, current: kind.current, unit: kind.unit }
        if (typeof kind.total === 'number') item.total = kind.total
        const known = step.items.findIndex((known) => known.name === kind.item)
        if (known < 0) step.items.push(item)
        else step.items[known] = item
        break
      }
      case 'log': {
        const step = this.#current(kind.step, event)
        step.log.push({ text: kind.line, error: kind.stream === 'error' })
        if (step.log.length > MOST_LINES) step.log.splice(0, step.log.length - MOST_LINES)
        break
      }
      case 'step_finished':
        this.#current(kind.step, event).took = kind.millis
        break
      case 'step_failed':
        this.#current(kind.step, event).problem = kind.problem
        break
      default:
        return
    }
    this.#draw()
  }

  /** Forgets what was: another wish begins. */
  clear(): void {
    this.steps = []
  }

  #current(kind: StepKind, event: Event): Step {
    const last = this.steps.at(-1)
    if (last && sameStep(last.step, kind)) return last
    const step: Step = { step: kind, detail: '', started: Date.parse(event.time), items: [], log: [] }
    this.steps = [...this.steps, step]
    return step
  }

  // A build tells hundreds of lines a second; the page is drawn sixty times at most.
  #draw(): void {
    if (this.#drawn) return
    this.#drawn = true
    requestAnimationFrame(() => {
      this.#drawn = false
      this.steps = this.steps.map((step) => ({ ...step }))
    })
  }
}
