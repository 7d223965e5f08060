// The colours of a terminal in lines of a log, as names of classes. Everything else that moves a cursor or speaks to a
// terminal is taken out: what remains is text.

export interface Segment {
  text: string
  /** Names of classes, with spaces between them; empty for text as it is. */
  style: string
}

/** What a terminal would not show as a letter. */
const CONTROL = /[\u0000-\u001f\u007f-\u009f]/
const ESCAPE = /\u001b(?:\[([0-?]*)[ -/]*([@-~]?)|[\]PX^_][^\u0007\u001b]*(?:\u0007|\u001b\\)?|[ -/]*[0-~]?)/y
const TAB = 8

interface Style {
  foreground?: number
  background?: number
  bold?: boolean
  dim?: boolean
  italic?: boolean
  underline?: boolean
  inverse?: boolean
}

/** The text of a line alone. */
export function plain(line: string): string {
  return CONTROL.test(line) ? segments(line).map((segment) => segment.text).join('') : line
}

/** A line as pieces of one look each. */
export function segments(line: string): Segment[] {
  if (!CONTROL.test(line)) return line === '' ? [] : [{ text: line, style: '' }]
  // What is written over is not there any more: progress of programs.
  const body = line.replace(/\r+$/, '')
  const text = body.slice(body.lastIndexOf('\r') + 1)
  const found: Segment[] = []
  let style: Style = {}
  let name = ''
  let column = 0
  let open = ''
  const close = (): void => {
    if (open !== '') found.push({ text: open, style: name })
    open = ''
  }
  for (let at = 0; at < text.length; at += 1) {
    const letter = text[at] as string
    if (letter === '\u001b') {
      ESCAPE.lastIndex = at
      const escape = ESCAPE.exec(text)
      if (escape?.[2] === 'm') {
        close()
        style = styled(style, escape[1] ?? '')
        name = nameOf(style)
      }
      at += Math.max(escape?.[0].length ?? 1, 1) - 1
    } else if (letter === '\t') {
      const width = TAB - (column % TAB)
      open += ' '.repeat(width)
      column += width
    } else if (!CONTROL.test(letter)) {
      open += letter
      column += 1
    }
  }
  close()
  return found
}

/** The pieces of a part of a line, from one letter to another. */
export function part(pieces: Segment[], from: number, to: number): Segment[] {
  const found: Segment[] = []
  let at = 0
  for (const { text, style } of pieces) {
    const cut = text.slice(Math.max(0, from - at), Math.max(0, to - at))
    if (cut !== '') found.push({ text: cut, style })
    at += text.length
  }
  return found
}

/** Pieces with each place that has the words apart, as `found`. */
export function marked(pieces: Segment[], words: string): Segment[] {
  const wanted = words.toLowerCase()
  if (!wanted) return pieces
  return pieces.flatMap(({ text, style }) => {
    const low = text.toLowerCase()
    // A few letters change their length with their case, and places would not be those of the text.
    if (low.length !== text.length) return [{ text, style }]
    const split: Segment[] = []
    let at = 0
    for (let found = low.indexOf(wanted); found >= 0; found = low.indexOf(wanted, at)) {
      if (found > at) split.push({ text: text.slice(at, found), style })
      at = found + wanted.length
      split.push({ text: text.slice(found, at), style: `${style} found`.trim() })
    }
    if (at < text.length) split.push({ text: text.slice(at), style })
    return split
  })
}

function styled(before: Style, codes: string): Style {
  const style = { ...before }
  const numbers = codes.split(/[;:]/).map((code) => (code === '' ? 0 : Number(code)))
  for (let at = 0; at < numbers.length; at += 1) {
    const code = numbers[at] as number
    if (code === 0) for (const key of Object.keys(style) as (keyof Style)[]) delete style[key]
    else if (code === 1) style.bold = true
    else if (code === 2) style.dim = true
    else if (code === 3) style.italic = true
    else if (code === 4) style.underline = true
    else if (code === 7) style.inverse = true
    else if (code === 22) delete style.bold, delete style.dim
    else if (code === 23) delete style.italic
    else if (code === 24) delete style.underline
    else if (code === 27) delete style.inverse
    else if (code === 39) delete style.foreground
    else if (code === 49) delete style.background
    else if (code >= 30 && code <= 37) style.foreground = code - 30
    else if (code >= 90 && code <= 97) style.foreground = code - 82
    else if (code >= 40 && code <= 47) style.background = code - 40
    else if (code >= 100 && code <= 107) style.background = code - 92
    else if (code === 38 || code === 48) {
      const isIndex = numbers[at + 1] === 5
      const colour = isIndex ? ofPalette(numbers[at + 2] ?? 0) : nearest(numbers.slice(at + 2, at + 5))
      if (code === 38) style.foreground = colour
      else style.background = colour
      at += isIndex ? 2 : 4
    }
  }
  return style
}

function nameOf(style: Style): string {
  const { foreground, background, ...flags } = style
  const names = Object.keys(flags)
  if (foreground !== undefined) names.push(`fg-${foreground}`)
  if (background !== undefined) names.push(`bg-${background}`)
  return names.join(' ')
}

// Sixteen colours have values in both themes; any other is told by the nearest of them, so that it can be read.
const SIXTEEN = [0x000000, 0xaa0000, 0x00aa00, 0xaa5500, 0x0000aa, 0xaa00aa, 0x00aaaa, 0xaaaaaa, 0x555555, 0xff5555, 0x55ff55, 0xffff55, 0x5555ff, 0xff55ff, 0x55ffff, 0xffffff]

function ofPalette(index: number): number {
  if (index < 16) return index
  if (index >= 232) return nearest(Array<number>(3).fill((index - 232) * 10 + 8))
  const level = (value: number): number => (value === 0 ? 0 : value * 40 + 55)
  const cube = index - 16
  return nearest([level(Math.floor(cube / 36)), level(Math.floor(cube / 6) % 6), level(cube % 6)])
}

function nearest([red = 0, green = 0, blue = 0]: number[]): number {
  const far = SIXTEEN.map((colour) => ((colour >> 16) - red) ** 2 + (((colour >> 8) & 255) - green) ** 2 + ((colour & 255) - blue) ** 2)
  return far.indexOf(Math.min(...far))
}
