import { expect, test } from 'vitest'
import { Splitter } from './splitter'

test('lines come whole, however they were cut', () => {
  const text = '{"a":1}\n\n{"b":"한국어"}\n{"c":3}\n{"broken'
  for (let size = 1; size <= text.length; size += 1) {
    const splitter = new Splitter()
    const found: string[] = []
    for (let at = 0; at < text.length; at += size) found.push(...splitter.push(text.slice(at, at + size)))
    expect(found).toEqual(['{"a":1}', '{"b":"한국어"}', '{"c":3}'])
  }
})

test('a line that nobody can hold is passed over, and the next one is not', () => {
  const splitter = new Splitter()
  const piece = 'x'.repeat(1 << 20)
  for (let megabytes = 0; megabytes < 64; megabytes += 1) expect(splitter.push(piece)).toEqual([])
  expect(splitter.push('\n{"next":1}\n')).toEqual(['{"next":1}'])
})
