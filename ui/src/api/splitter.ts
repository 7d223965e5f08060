// One JSON value a line, out of an answer that goes on.

/** A longer line is dropped rather than held: no value of the API has so many characters. */
const LONGEST = 8 << 20

/** The values of an answer, as they come. Ends with it, or throws when it breaks. */
export async function* valuesOf<T>(response: Response): AsyncGenerator<T> {
  if (!response.body) return
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader()
  const splitter = new Splitter()
  try {
    for (;;) {
      const { value, done } = await reader.read()
      if (done) return
      for (const line of splitter.push(value)) yield JSON.parse(line) as T
    }
  } finally {
    await reader.cancel().catch(() => undefined)
  }
}

/** Cuts a text that comes in pieces into its lines. An end without a newline is a value that broke off: it is none. */
export class Splitter {
  #pieces: string[] = []
  #length = 0
  /** Whether the rest of the present line is passed over. */
  #skipping = false

  push(piece: string): string[] {
    const whole: string[] = []
    let start = 0
    for (let end = piece.indexOf('\n'); end >= 0; end = piece.indexOf('\n', start)) {
      this.#add(piece.slice(start, end))
      if (!this.#skipping && this.#length > 0) whole.push(this.#pieces.join(''))
      this.#pieces = []
      this.#length = 0
      this.#skipping = false
      start = end + 1
    }
    this.#add(piece.slice(start))
    return whole
  }

  #add(piece: string): void {
    if (this.#skipping || piece === '') return
    this.#pieces.push(piece)
    this.#length += piece.length
    if (this.#length <= LONGEST) return
    this.#skipping = true
    this.#pieces = []
  }
}
