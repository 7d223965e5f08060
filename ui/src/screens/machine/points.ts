// The points of a graph over time. Pure.
import type { MetricsMessage, MetricsSample } from '../../api/types'

/** How far back is shown, in milliseconds. */
const SHOWN = 10 * 60 * 1000

/** Samples that are further apart are not joined by a line, in milliseconds. */
const APART = 8000

/** A point of a graph; without a sample, a gap. */
export interface Point {
  /** Milliseconds since 1970. */
  time: number
  sample?: MetricsSample
}

/** The points after a message: what is too old goes, and what is far apart has a gap in between. */
export function after(points: Point[], message: MetricsMessage): Point[] {
  const told = message as { type: MetricsMessage['type']; time: string }
  const time = Date.parse(told.time)
  const kept = points.filter((point) => point.time > time - SHOWN)
  const last = kept.at(-1)
  if (message.type !== 'sample') return last?.sample ? [...kept, { time }] : kept
  if (last?.sample && time - last.time > APART) kept.push({ time: last.time + 1 })
  return [...kept, { time, sample: message }]
}
