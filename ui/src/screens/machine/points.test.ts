import { expect, test } from 'vitest'
import type { MetricsMessage } from '../../api/types'
import { after, type Point } from './points'

const at = (seconds: number): string => new Date(seconds * 1000).toISOString()
const sample = (seconds: number): MetricsMessage => ({ type: 'sample', time: at(seconds), memory_total: 1, memory_used: 1, memory_cached: 0, host_memory: 1, disk_total: 1, disk_used: 1, host_disk: 1 })
const off = (seconds: number): MetricsMessage => ({ type: 'off', time: at(seconds), phase: 'stopped' })
const shape = (points: Point[]): string => points.map((point) => `${point.time / 1000}${point.sample ? '' : '-'}`).join(' ')
const told = (messages: MetricsMessage[]): Point[] => messages.reduce(after, [] as Point[])

test('samples that follow each other make a line', () => {
  expect(shape(told([sample(10), sample(12), sample(14)]))).toBe('10 12 14')
})

test('a pause is a gap and not a line', () => {
  expect(shape(told([sample(10), sample(40)]))).toBe('10 10.001- 40')
  expect(shape(told([sample(10), off(12), off(42), sample(50)]))).toBe('10 12- 50')
})

test('only the last ten minutes are kept', () => {
  expect(shape(told([sample(10), sample(700)]))).toBe('700')
})
