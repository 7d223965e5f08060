// What the machine told of itself within the last minutes: read from one stream, for as long as it is shown.
import { problemOf } from '../../api/client'
import { lines } from '../../api/lines'
import type { MachinePhase, MetricsMessage, MetricsSample, Problem } from '../../api/types'
import { MACHINE } from '../../state/cove.svelte'
import { after, type Point } from './points'

/** Before a stream that broke is asked for again, in milliseconds. */
const PAUSE = 2000

export type Told = { kind: 'waiting' } | { kind: 'on' } | { kind: 'off'; phase: MachinePhase } | { kind: 'silent'; problem: Problem }

export class Meter {
  points: Point[] = $state.raw([])
  told: Told = $state.raw({ kind: 'waiting' })

  readonly times: number[] = $derived(this.points.map((point) => point.time / 1000))
  readonly latest: MetricsSample | undefined = $derived(this.points.findLast((point) => point.sample)?.sample)

  /** One value a point; `null` where it is not known. */
  values(of: (sample: MetricsSample) => number | null | undefined): (number | null)[] {
    return this.points.map(({ sample }) => (sample ? (of(sample) ?? null) : null))
  }

  /** Reads until it is told to stop. The machine is looked at only meanwhile. */
  async follow(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      try {
        this.points = []
        for await (const message of lines<MetricsMessage>(`/v1/machines/${MACHINE}/metrics`, {}, signal)) this.#take(message)
      } catch (error) {
        if (signal.aborted) return
        this.told = { kind: 'silent', problem: problemOf(error) }
      }
      await new Promise((resolve) => setTimeout(resolve, PAUSE))
    }
  }

  #take(message: MetricsMessage): void {
    this.points = after(this.points, message)
    if (message.type === 'sample') this.told = { kind: 'on' }
    else if (message.type === 'off') this.told = { kind: 'off', phase: message.phase }
    else this.told = { kind: 'silent', problem: message.problem }
  }
}
