import { expect, test } from 'vitest'
import type { Environment } from '../../api/types'
import { judge } from './verdict'

function environment(status: object, spec: object = {}): Environment {
  return {
    id: 'aa11',
    metadata: { name: 'web', created_at: '2026-01-01T00:00:00Z', generation: 3, resource_version: 9 },
    spec: { desired_phase: 'running', source: { type: 'folder', path: '/srv/web' }, machine: 'default', retry: 'second', ...spec },
    status: { phase: 'running', observed_generation: 3, retry: 'second', ...status },
  } as unknown as Environment
}

const problem = { code: 'E0201', title: 'x' }

test.each([
  ['up', environment({})],
  ['going', environment({ observed_generation: 2 })],
  ['going', environment({ phase: 'starting' })],
  ['going', environment({ step: { kind: 'forward_ports' } })],
  ['going', environment({ conditions: [{ kind: 'ready', holds: false }] })],
  ['stopped', environment({}, { desired_phase: 'stopped' })],
  ['failed', environment({ problem })],
  ['going', environment({ problem, retry: 'first' })],
  ['going', environment({ step: { kind: 'run_hook', stage: 'post_create' } })],
  ['usable', environment({ step: { kind: 'run_hook', stage: 'post_create' }, conditions: [{ kind: 'usable', holds: true }] })],
])('an environment is %s', (kind, stands) => {
  expect(judge(stands, 3).kind).toBe(kind)
})
