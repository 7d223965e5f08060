import { expect, test } from 'vitest'
import { at, put, read, shown } from './forms'

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
