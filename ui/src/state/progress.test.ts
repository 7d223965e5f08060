import { expect, test, vi } from 'vitest'
import type { Event, EventKind, Problem, StepKind } from '../api/types'

vi.stubGlobal('requestAnimationFrame', (draw: () => void) => draw())
const { Progress } = await import('./progress.svelte')

const READ: StepKind = { kind: 'read_config' }
const HOOK: StepKind = { kind: 'run_hook', stage: 'post_create' }
const PROBLEM: Problem = { code: 'E0205', title: 'it failed' }

let sequence = 0

function told(kind: EventKind): Event {
  sequence += 1
  return { sequence, time: '2026-11-27T10:00:00Z', object: { kind: 'environment', id: 'x' }, kind }
}

test('steps come in order, with their time, their parts and their log', () => {
  const progress = new Progress()
  progress.take(told({ type: 'step_started', step: READ, detail: '' }))
  progress.take(told({ type: 'step_finished', step: READ, millis: 12 }))
  progress.take(told({ type: 'step_started', step: HOOK, detail: 'npm ci' }))
  for (const current of [1, 2]) progress.take(told({ type: 'progress', step: HOOK, item: 'a', current, total: 3, unit: 'items' }))
  progress.take(told({ type: 'log', step: HOOK, stream: 'error', line: '<b>loud</b>' }))
  expect(progress.steps).toMatchObject([
    { step: READ, took: 12 },
    { step: HOOK, detail: 'npm ci', items: [{ name: 'a', current: 2, total: 3 }], log: [{ text: '<b>loud</b>', error: true }] },
  ])
})

test('another attempt takes the place of the one that failed, and of no other', () => {
  const progress = new Progress()
  progress.take(told({ type: 'step_started', step: READ, detail: '' }))
  progress.take(told({ type: 'step_finished', step: READ, millis: 1 }))
  for (let attempt = 0; attempt < 3; attempt += 1) {
    progress.take(told({ type: 'step_started', step: HOOK, detail: '' }))
    expect(progress.steps).toHaveLength(2)
    expect(progress.steps[1]?.problem).toBeUndefined()
    progress.take(told({ type: 'step_failed', step: HOOK, problem: PROBLEM }))
    expect(progress.steps[1]?.problem).toEqual(PROBLEM)
  }
})

test('a page that came late begins where it came', () => {
  const progress = new Progress()
  progress.take(told({ type: 'log', step: HOOK, stream: 'output', line: 'half way' }))
  expect(progress.steps).toMatchObject([{ step: HOOK, log: [{ text: 'half way' }] }])
})
