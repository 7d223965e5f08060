// The last lines of a log, in memory that has a bound, and how they lie in rows of one height.
import { part, plain, segments, type Segment } from './ansi'

export interface Line {
  text: string
  error: boolean
  /** Whether the rest of it is left out. */
  cut: boolean
}

/** Characters of a line that are kept. The daemon is asked for no more bytes of one. */
export const LONGEST = 16_384

/** Lines that are numbered from the first that ever came; those that are still there are `first` to `next`. */
export class Ring {
  first = 0
  next = 0
  #lines: Line[] = []
  #letters = 0

  constructor(
    /** Lines that are kept. */
    readonly most = 1_000_000,
    /** Letters that are kept, in all. */
    readonly mostLetters = 64 << 20,
  ) {}

  get size(): number {
    return this.next - this.first
  }

  push(text: string, error: boolean, cut: boolean): void {
    const kept = text.length > LONGEST ? copied(text.slice(0, LONGEST)) : text
    if (this.size === this.most) this.#drop()
    this.#lines[this.next % this.most] = { text: kept, error, cut: cut || text.length > LONGEST }
    this.next += 1
    this.#letters += kept.length
    while (this.#letters > this.mostLetters && this.size > 1) this.#drop()
  }

  line(number: number): Line {
    return this.#lines[number % this.most] as Line
  }

  clear(): void {
    this.#lines = []
    this.#letters = 0
    this.first = this.next
  }

  text(): string {
    const lines: string[] = []
    for (let number = this.first; number < this.next; number += 1) lines.push(plain(this.line(number).text))
    return lines.join('\n')
  }

  /**
   * The number of the next line from there on that has the words, or of the one before it; around the end. A long log is
   * searched in turns, so that the page goes on; `undefined` when there is none, or when nobody wants to know any more.
   */
  async find(words: string, from: number, step: 1 | -1, over: () => boolean): Promise<number | undefined> {
    const wanted = words.toLowerCase()
    const { first, size } = this
    for (let count = 0; count < size; count += 1) {
      if (count % TURN === TURN - 1) await new Promise((resolve) => setTimeout(resolve))
      if (over()) return undefined
      const number = first + ((((from - first + count * step) % size) + size) % size)
      // What was let go meanwhile is not looked at.
      if (number >= this.first && plain(this.line(number).text).toLowerCase().includes(wanted)) return number
    }
    return undefined
  }

  #drop(): void {
    const at = this.first % this.most
    this.#letters -= (this.#lines[at] as Line).text.length
    this.#lines[at] = GONE
    this.first += 1
  }
}

/** Lines that are searched in one turn. */
const TURN = 20_000
const GONE: Line = { text: '', error: false, cut: false }

// Engines let a part of a string hold all of it; a copy lets the rest go.
function copied(text: string): string {
  return JSON.parse(JSON.stringify(text)) as string
}

export interface Row extends Line {
  /** Number of its line. */
  number: number
  /** Whether it is the first of its line. */
  begins: boolean
  pieces: Segment[]
}

/** How the lines lie in rows. */
export interface Layout {
  /** Takes in what came, and gives how many rows there are. */
  measure(): number
  /** Rows that went, since ever. */
  readonly gone: number
  /** The first row of a line. */
  rowOf(number: number): number
  slice(from: number, to: number): Row[]
}

/** A row a line. */
export class Unwrapped implements Layout {
  constructor(readonly ring: Ring) {}

  measure(): number {
    return this.ring.size
  }

  get gone(): number {
    return this.ring.first
  }

  rowOf(number: number): number {
    return number - this.ring.first
  }

  slice(from: number, to: number): Row[] {
    const rows: Row[] = []
    for (let number = this.ring.first + from; number < this.ring.first + to; number += 1) {
      const line = this.ring.line(number)
      rows.push({ ...line, number, begins: true, pieces: segments(line.text) })
    }
    return rows
  }
}

/** Lines broken after so many letters. */
export class Wrapped implements Layout {
  /** For each line the rows up to its end, since ever; one more than there are lines, for that before the first. */
  #ends: number[] = []
  #measured: number
  #slots: number

  constructor(
    readonly ring: Ring,
    readonly columns: number,
  ) {
    this.#measured = ring.first
    this.#slots = ring.most + 1
    this.#ends[this.#slot(ring.first - 1)] = 0
  }

  measure(): number {
    const { first, next } = this.ring
    if (this.#measured < first) {
      // They went before they were measured.
      this.#ends[this.#slot(first - 1)] = this.#end(this.#measured - 1)
      this.#measured = first
    }
    let end = this.#end(this.#measured - 1)
    for (; this.#measured < next; this.#measured += 1) {
      end += Math.max(1, Math.ceil(plain(this.ring.line(this.#measured).text).length / this.columns))
      this.#ends[this.#slot(this.#measured)] = end
    }
    return end - this.gone
  }

  get gone(): number {
    return this.#end(this.ring.first - 1)
  }

  rowOf(number: number): number {
    return this.#end(number - 1) - this.gone
  }

  slice(from: number, to: number): Row[] {
    const rows: Row[] = []
    let number = this.#lineAt(from)
    let row = from
    while (row < to && number < this.#measured) {
      const line = this.ring.line(number)
      const pieces = segments(line.text)
      const begin = this.rowOf(number)
      const end = this.rowOf(number + 1)
      for (; row < Math.min(end, to); row += 1) {
        const at = (row - begin) * this.columns
        rows.push({ ...line, cut: line.cut && row === end - 1, number, begins: row === begin, pieces: part(pieces, at, at + this.columns) })
      }
      number += 1
    }
    return rows
  }

  #lineAt(row: number): number {
    let low = this.ring.first
    let high = this.#measured
    while (low < high) {
      const middle = (low + high) >> 1
      if (this.rowOf(middle + 1) > row) high = middle
      else low = middle + 1
    }
    return low
  }

  #end(number: number): number {
    return this.#ends[this.#slot(number)] ?? 0
  }

  #slot(number: number): number {
    return (number + 1) % this.#slots
  }
}
