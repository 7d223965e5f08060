import { expect, test } from 'vitest'
import { limitsFor } from './limits'
import type { Of, PolicySpec } from './types'

function policy(name: string, spec: PolicySpec): Of<'Policy'> {
  return { kind: 'Policy', metadata: { name }, spec } as Of<'Policy'>
}

test('of several policies the narrowest counts, and each limit has the names of those that set it', () => {
  const policies = [
    policy('a', { stop_after: 3600, ports: 'everybody', host_mounts: true, images: ['docker.io/*'] }),
    policy('b', { stop_after: 600, ports: 'organization', host_mounts: false, projects: ['shop'], images: [] }),
    policy('c', { stop_after: 600, ports: 'organization' }),
    policy('d', { stop_after: 1, projects: [] }),
  ]
  expect(limitsFor(policies, 'shop')).toEqual([
    { spec: { images: ['docker.io/*'] }, policies: ['a'] },
    { spec: { images: [] }, policies: ['b'] },
    { spec: { stop_after: 600 }, policies: ['b', 'c'] },
    { spec: { ports: 'organization' }, policies: ['b', 'c'] },
    { spec: { host_mounts: false }, policies: ['b'] },
  ])
  expect(limitsFor(policies, undefined).map(({ policies }) => policies)).toEqual([['a'], ['c'], ['c'], ['a']])
})
