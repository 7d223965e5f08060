// The lines of a log: the last ones, each of bounded length.

export interface Line {
  text: string
  error: boolean
}

/** Lines that are kept. */
const MOST = 1_000_000

/** Characters of a line that are kept. */
const LONGEST = 16_384

export class LogBuffer {
  /** Lines there are; reactive, at most once a frame. */
  count = $state(0)
  /** Older lines that were let go. */
  dropped = $state(0)

  #lines: Line[] = []
  #drawn = false

  push(text: string, error = false): void {
    this.#lines.push({ text: text.length > LONGEST ? text.slice(0, LONGEST) : text, error })
    if (this.#lines.length > MOST + MOST / 10) this.#lines.splice(0, this.#lines.length - MOST)
    this.#draw()
  }

  clear(): void {
    this.#lines = []
    this.count = 0
    this.dropped = 0
  }

  slice(from: number, to: number): Line[] {
    void this.count
    return this.#lines.slice(from, to)
  }

  /** The next line at or after `from` that has the words, from the first again after the last. */
  find(words: string, from: number): number | undefined {
    const wanted = words.toLowerCase()
    if (!wanted) return undefined
    const total = this.#lines.length
    for (let step = 0; step < total; step += 1) {
      const index = (from + step) % total
      if (this.#lines[index]?.text.toLowerCase().includes(wanted)) return index
    }
    return undefined
  }

  text(): string {
    return this.#lines.map((line) => line.text).join('\n')
  }

  #draw(): void {
    if (this.#drawn) return
    this.#drawn = true
    requestAnimationFrame(() => {
      this.#drawn = false
      this.count = this.#lines.length
    })
  }
}
