import { expect, test } from 'vitest'
import { older } from './version'

test('versions are compared as numbers', () => {
  expect(older('0.9.0', '0.10.0')).toBe(true)
  expect(older('1.0.0', '0.10.0')).toBe(false)
  expect(older('1.2.3', '1.2.3')).toBe(false)
  expect(older('1.2', '1.2.1')).toBe(true)
})
