// The lines of a log, for `LogView`.
import { Ring } from './ring'

export { LONGEST, type Line } from './ring'

export class LogBuffer {
  /** Lines there are; reactive, at most once a frame. */
  count = $state(0)
  /** Older lines that were let go. */
  dropped = $state(0)
  readonly ring = new Ring()

  #cleared = 0
  #drawn = false

  push(text: string, error = false, cut = false): void {
    this.ring.push(text, error, cut)
    if (this.#drawn) return
    this.#drawn = true
    requestAnimationFrame(() => {
      this.#drawn = false
      this.#show()
    })
  }

  clear(): void {
    this.ring.clear()
    this.#cleared = this.ring.first
    this.#show()
  }

  text(): string {
    return this.ring.text()
  }

  #show(): void {
    this.count = this.ring.size
    this.dropped = this.ring.first - this.#cleared
  }
}
