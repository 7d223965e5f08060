import { describe, expect, it } from 'vitest'
import { marked, part, plain, segments } from './ansi'

const shown = (line: string): string => segments(line).map(({ text, style }) => (style ? `[${style}:${text}]` : text)).join('')

describe('segments', () => {
  it.each([
    ['plain', 'plain'],
    ['', ''],
    ['\u001b[31mred\u001b[0m rest', '[fg-1:red] rest'],
    ['\u001b[1;92mgo\u001b[22m on\u001b[39m', '[bold fg-10:go][fg-10: on]'],
    ['\u001b[mnone\u001b[4mline\u001b[24m', 'none[underline:line]'],
    ['\u001b[38;5;196mx\u001b[48;2;0;0;250my', '[fg-1:x][fg-1 bg-4:y]'],
    ['\u001b[38;5;9ma', '[fg-9:a]'],
    // What moves a cursor, names a window or links elsewhere is no text.
    ['a\u001b[2Kb\u001b[?25lc\u001b]0;title\u0007d', 'abcd'],
    ['\u001b]8;;https://evil.example\u001b\\link\u001b]8;;\u001b\\', 'link'],
    ['\u001bPq#0\u001b\\x\u001b(By', 'xy'],
    // Broken off.
    ['a\u001b', 'a'],
    ['a\u001b[31', 'a'],
    ['a\u001b]0;never ends', 'a'],
    // Progress that is written over.
    ['10%\r50%\r100%', '100%'],
    ['done\r', 'done'],
    ['a\tb', 'a       b'],
    ['\u0000\u0008x\u007f\u009by', 'xy'],
    ['<img src=x onerror=alert(1)>', '<img src=x onerror=alert(1)>'],
  ])('%j', (line, expected) => {
    expect(shown(line)).toBe(expected)
    expect(plain(line)).toBe(segments(line).map(({ text }) => text).join(''))
  })

  it('holds any bytes without losing text that is printable', () => {
    let seed = 7
    const random = (most: number): number => {
      seed = (seed * 1_103_515_245 + 12_345) & 0x7fffffff
      return seed % most
    }
    for (let round = 0; round < 2000; round += 1) {
      const line = Array.from({ length: random(40) }, () => '\u001b[]m;0123\r\tab\u0007\\?é'[random(18)]).join('')
      expect(plain(line)).not.toMatch(/[\u0000-\u001f]/)
    }
  })
})

it('a part keeps the look of each piece', () => {
  const pieces = segments('ab\u001b[31mcdef\u001b[0mgh')
  expect(part(pieces, 1, 4)).toEqual([{ text: 'b', style: '' }, { text: 'cd', style: 'fg-1' }])
  expect(part(pieces, 7, 99)).toEqual([{ text: 'h', style: '' }])
  expect(part(pieces, 99, 120)).toEqual([])
})

it('what was searched for is marked, whatever its case', () => {
  const pieces = segments('Error: \u001b[31merror\u001b[0m')
  expect(marked(pieces, 'error')).toEqual([
    { text: 'Error', style: 'found' },
    { text: ': ', style: '' },
    { text: 'error', style: 'fg-1 found' },
  ])
  expect(marked(pieces, '')).toBe(pieces)
  expect(marked([{ text: 'İx', style: '' }], 'x')).toEqual([{ text: 'İx', style: '' }])
})
