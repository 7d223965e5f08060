// The time of day, each second, while anything shows it.
import { createSubscriber } from 'svelte/reactivity'

const ticks = createSubscriber((update) => {
  const ticking = setInterval(update, 1000)
  return () => clearInterval(ticking)
})

/** Now, in milliseconds; reactive. */
export function now(): number {
  ticks()
  return Date.now()
}
