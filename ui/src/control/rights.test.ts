import { expect, test } from 'vitest'
import { isWhole, lets } from './rights'
import type { Document, Of } from './types'

const named = (kind: string, name: string, spec: object): Document => ({ kind, metadata: { name }, spec }) as unknown as Document
const role = (spec: object): Of<'Role'> => named('Role', 'some', spec) as Of<'Role'>
const may = (roles: Of<'Role'>[], one: Document): boolean => lets('bob', 'update', one, { Role: roles, Group: [named('Group', 'team', { members: ['bob'] }) as Of<'Group'>], Environment: [own as Of<'Environment'>] })

const own = named('Environment', 'a', { owner: 'bob', project: 'shop' })
const other = named('Environment', 'b', { owner: 'ann', project: 'till' })
const run = named('Execution', 'a-build', { environment: 'a' })

test('a role that is for what is one’s own, or for projects, is for nothing else', () => {
  const roles = [role({ permissions: [{ verbs: ['update'], kinds: ['Environment', 'Execution', 'Secret', 'Runner'] }], subjects: [{ user: 'bob' }], own: true })]
  expect([own, other, run].map((one) => may(roles, one))).toEqual([true, false, true])
  expect(may(roles, named('Secret', 's', { scope: { user: 'bob' } }))).toBe(true)
  expect(may(roles, named('Secret', 's', { scope: 'organization' }))).toBe(false)
  expect(may(roles, named('Runner', 'mac-bob', { owner: 'bob' }))).toBe(true)
  expect(may([role({ permissions: [{}], subjects: [{ group: 'team' }], projects: ['till'] })], own)).toBe(false)
  expect(may([role({ permissions: [{}], subjects: [{ group: 'team' }], projects: ['till'] })], named('Project', 'till', {}))).toBe(true)
})

test('a role is for its subjects, its verbs and its kinds', () => {
  expect(may([role({ permissions: [{}], subjects: ['everybody'] })], other)).toBe(true)
  expect(may([role({ permissions: [{}], subjects: [{ user: 'ann' }, { group: 'others' }] })], own)).toBe(false)
  expect(may([role({ permissions: [{ verbs: ['get', 'list'] }, { kinds: ['Project'] }], subjects: ['everybody'] })], own)).toBe(false)
})

test('who sees no role, or not all groups of one, is not told that nothing lets them', () => {
  const team = named('Group', 'team', { members: [] }) as Of<'Group'>
  const ofTeam = role({ permissions: [{}], subjects: [{ group: 'team' }] })
  expect(isWhole({ Role: [], Group: [team] })).toBe(false)
  expect(isWhole({ Role: [ofTeam], Group: [] })).toBe(false)
  expect(isWhole({ Role: [ofTeam], Group: [team] })).toBe(true)
})
