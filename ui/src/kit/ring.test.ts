import { expect, it } from 'vitest'
import { LONGEST, Ring, Unwrapped, Wrapped } from './ring'

function filled(ring: Ring, lines: string[]): Ring {
  for (const line of lines) ring.push(line, false, false)
  return ring
}

const texts = (ring: Ring): string[] => (ring.size === 0 ? [] : ring.text().split('\n'))

it('keeps the last lines, and no more letters than it may', () => {
  const ring = filled(new Ring(3), ['a', 'b', 'c', 'd'])
  expect([texts(ring), ring.first, ring.next]).toEqual([['b', 'c', 'd'], 1, 4])
  const short = filled(new Ring(100, 10), ['aaaa', 'bbbb', 'cccc'])
  expect(texts(short)).toEqual(['bbbb', 'cccc'])
  short.push('x'.repeat(30), false, false)
  expect(texts(short)).toEqual(['x'.repeat(30)])
  short.clear()
  expect([short.size, short.first]).toEqual([0, 4])
  expect(texts(filled(short, ['y']))).toEqual(['y'])
})

it('cuts a line that is longer than anybody reads, and says so', () => {
  const ring = filled(new Ring(3), ['x'.repeat(LONGEST + 1)])
  ring.push('short', true, true)
  expect([ring.line(0).text.length, ring.line(0).cut]).toEqual([LONGEST, true])
  expect(ring.line(1)).toEqual({ text: 'short', error: true, cut: true })
})

it('finds around the end, both ways', async () => {
  const ring = filled(new Ring(4), ['Web', 'db', '\u001b[31mW\u001b[0meb', 'x', 'y'])
  const find = (words: string, from: number, step: 1 | -1) => ring.find(words, from, step, () => false)
  expect(await find('web', 3, 1)).toBe(2)
  expect(await find('y', 2, -1)).toBe(4)
  expect(await find('DB', 4, 1)).toBe(1)
  expect(await find('nothing', 1, 1)).toBeUndefined()
  expect(await ring.find('web', 3, 1, () => true)).toBeUndefined()
})

it('a row a line', () => {
  const layout = new Unwrapped(filled(new Ring(3), ['a', 'b', 'c', 'd']))
  expect([layout.measure(), layout.gone, layout.rowOf(2)]).toEqual([3, 1, 1])
  expect(layout.slice(1, 3).map((row) => [row.number, row.text])).toEqual([[2, 'c'], [3, 'd']])
})

it('long lines lie in several rows, also while older ones go', () => {
  const ring = new Ring(4)
  const layout = new Wrapped(filled(ring, ['1234567', '', 'ab\u001b[31mcd']), 3)
  const rows = (from: number, to: number): string[] => layout.slice(from, to).map((row) => `${row.number}:${row.pieces.map(({ text }) => text).join('')}`)
  expect(layout.measure()).toBe(6)
  expect(rows(0, 6)).toEqual(['0:123', '0:456', '0:7', '1:', '2:abc', '2:d'])
  expect(rows(2, 5)).toEqual(['0:7', '1:', '2:abc'])
  filled(ring, ['x', 'yyyy'])
  expect([layout.measure(), layout.gone]).toEqual([6, 3])
  expect(rows(0, 6)).toEqual(['1:', '2:abc', '2:d', '3:x', '4:yyy', '4:y'])
  expect(layout.rowOf(3)).toBe(3)
  // More came than it holds, between two looks.
  filled(ring, ['a', 'b', 'c', 'd', 'e', 'ffff'])
  expect(layout.measure()).toBe(5)
  expect(rows(0, 9)).toEqual(['7:c', '8:d', '9:e', '10:fff', '10:f'])
})

it('takes a million lines in a moment', () => {
  const ring = new Ring()
  const begin = performance.now()
  for (let count = 0; count < 1_200_000; count += 1) ring.push(`line ${count}`, false, false)
  const layout = new Wrapped(ring, 80)
  expect(layout.measure()).toBe(1_000_000)
  expect(layout.slice(500_000, 500_040)[0]?.text).toBe('line 700000')
  expect(performance.now() - begin).toBeLessThan(10_000)
})
