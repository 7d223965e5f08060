import { expect, test } from 'vitest'
import type { HostSize, MachineSpec } from '../../api/types'
import { draftOf, judge, refusedShare, type Draft } from './limits'

const spec = { keep_running: false, paused: false, cpus: 4, memory_mib: 6144, disk_gib: 64, shares: ['/home/ada'], trust_host_network: true, idle: { stop_after: 600 }, restart: '' } as MachineSpec
const host: HostSize = { processors: 8, memory_mib: 16_384, disk_free: 50 * 2 ** 30 }
const of = (change: Partial<Draft>, changesShares = false): ReturnType<typeof judge> => judge({ ...draftOf(spec), ...change }, spec, host, changesShares)

test('what did not change is neither judged nor sent', () => {
  expect(of({})).toEqual({ mistakes: {}, concerns: {}, restart: [] })
  const small: HostSize = { processors: 2, memory_mib: 4096, disk_free: 0 }
  expect(judge(draftOf(spec), spec, small, false).mistakes).toEqual({})
})

test('sizes have limits', () => {
  for (const [change, part, mistake] of [
    [{ cpus: '0' }, 'cpus', 'tooFewCpus'],
    [{ cpus: '9' }, 'cpus', 'tooManyCpus'],
    [{ cpus: '1.5' }, 'cpus', 'notANumber'],
    [{ memory: '' }, 'memory', 'notANumber'],
    [{ memory: '0.25' }, 'memory', 'tooLittleMemory'],
    [{ memory: '17' }, 'memory', 'tooMuchMemory'],
    [{ disk: '63' }, 'disk', 'shrinks'],
    [{ disk: '99999' }, 'disk', 'tooBigDisk'],
  ] as const) {
    const judged = of(change)
    expect(judged.mistakes[part]).toBe(mistake)
    expect(judged.patch).toBeUndefined()
  }
})

test('what may be unwise is said and can be done', () => {
  expect(of({ memory: '8.5' })).toMatchObject({ concerns: { memory: 'muchMemory' }, patch: { memory_mib: 8704 } })
  expect(of({ memory: '12.5' }).concerns.memory).toBe('veryMuchMemory')
  expect(of({ disk: '120' })).toMatchObject({ concerns: { disk: 'muchDisk' }, patch: { disk_gib: 120 }, restart: ['disk_gib'] })
})

test('only what takes a restart is said to', () => {
  expect(of({ trust: false, idle: null, keep: true })).toMatchObject({ restart: [], patch: { trust_host_network: false, idle: {}, keep_running: true } })
  expect(of({ shares: [] }, true).restart).toEqual([])
  expect(of({ shares: [], cpus: '2' }).restart).toEqual(['cpus', 'shares'])
})

test('a share is a path from the root on, once', () => {
  expect(refusedShare('src', [])).toBe('notAbsolute')
  expect(refusedShare('/srv', ['/srv'])).toBe('sharedAlready')
  expect(refusedShare('/srv', [])).toBeUndefined()
})
