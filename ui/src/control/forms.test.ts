import { expect, test } from 'vitest'
import { at, isAsked, labelsOf, ofProject, onClass, onto, put, read, rowsOf, shown } from './forms'
import type { Of } from './types'

test('a field that is left empty is not in the spec', () => {
  const spec = put(put({}, 'repository.url', 'https://example.com/a'), 'repository.branch', 'main')
  expect(spec).toEqual({ repository: { url: 'https://example.com/a', branch: 'main' } })
  expect(put(spec, 'repository.branch', undefined)).toEqual({ repository: { url: 'https://example.com/a' } })
  expect(at(spec, 'repository.branch')).toBe('main')
  expect(at(spec, 'repository.url.more')).toBeUndefined()
})

test('a text is what its field is of', () => {
  expect(read('lines', 'ann\n bob ,,eve\n')).toEqual(['ann', 'bob', 'eve'])
  expect(read('lines', ' \n')).toBeUndefined()
  expect(read('number', '3')).toBe(3)
  expect(read('number', 'three')).toBe('three')
  expect(read('yes-no', 'false')).toBe(false)
  expect(read('text', '  ')).toBeUndefined()
  expect(shown(['a', 'b'])).toBe('a\nb')
  expect(shown(null)).toBe('')
})

test('labels are what was typed into their rows', () => {
  const labels = { team: 'a', 'odd=name': 'b\nc' }
  expect(labelsOf(rowsOf(labels))).toEqual({ labels })
  expect(labelsOf([{ name: ' stage ', value: 'live' }, { name: '', value: ' ' }])).toEqual({ labels: { stage: 'live' } })
  expect(labelsOf([{ name: 'a', value: '1' }, { name: 'a', value: '2' }])).toEqual({ wrong: 'a' })
  expect(labelsOf([{ name: '', value: '1' }])).toEqual({ wrong: '' })
  expect(labelsOf([{ name: '__proto__', value: '1' }])).toEqual({ labels: JSON.parse('{"__proto__":"1"}') as object })
})

test('what two people changed meets, and of one field what was typed here is shown', () => {
  const base = { title: 'Shop', paused: true, repository: { url: 'u', branch: 'main' } }
  const mine = { title: 'Mine', repository: { url: 'u', branch: 'live' } }
  const theirs = { title: 'Theirs', paused: true, repository: { url: 'v', branch: 'main' }, editors: ['zed'] }
  expect(onto(base, mine, theirs)).toEqual({ title: 'Mine', repository: { url: 'v', branch: 'live' }, editors: ['zed'] })
  expect(onto(base, base, theirs)).toEqual(theirs)
})

test('a project says what its environments are made of and where they run', () => {
  const classes = [{ metadata: { name: 'large' }, spec: { runner: 'big-linux' } }] as Of<'EnvironmentClass'>[]
  const first = { project: 'shop', source: { type: 'repository', url: '' }, idle: {} }
  const project = { repository: { url: 'u', branch: 'main' }, classes: ['my_computer' as const, { class: 'large' }] }
  expect(ofProject(first, project, classes)).toEqual({ project: 'shop', source: { type: 'repository', url: 'u', branch: 'main' }, idle: {}, class: 'large', runner: 'big-linux' })
  expect(ofProject(first, { repository: { url: 'u' } }, classes)).toEqual({ project: 'shop', source: { type: 'repository', url: 'u' }, idle: {} })
  expect(onClass({ runner: 'mac' }, 'gone', classes)).toEqual({ runner: 'mac' })
  expect(isAsked({ source: { type: 'folder', path: '/a' } }, { path: 'source.url', type: 'text' })).toBe(false)
})
