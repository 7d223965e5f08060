// Where the console is: `#/environments/shop-ann`. The address is the only state of it.
import { createSubscriber } from 'svelte/reactivity'

export const SCREENS = ['projects', 'environments', 'runners', 'classes', 'policies', 'secrets', 'people', 'audit'] as const

export type Screen = (typeof SCREENS)[number]

export interface Route {
  screen: Screen
  /** What follows the screen: a name, a tab. Decoded. */
  rest: string[]
}

/** The route an address names; what is unknown leads to the list of environments. */
export function parse(hash: string): Route {
  const [first = '', ...rest] = hash.replace(/^#\/?/, '').split('/').map(decoded)
  const screen = SCREENS.find((screen) => screen === first)
  return { screen: screen ?? 'environments', rest: screen ? rest.filter((part) => part !== '') : [] }
}

/** The address of a route. */
export function href(screen: Screen, rest: string[] = []): string {
  return `#/${[screen, ...rest].map(encodeURIComponent).join('/')}`
}

const changed = createSubscriber((update) => {
  window.addEventListener('hashchange', update)
  return () => window.removeEventListener('hashchange', update)
})

/** Where the page is now; reactive. */
export const route = {
  get current(): Route {
    changed()
    return parse(location.hash)
  },
}

function decoded(part: string): string {
  try {
    return decodeURIComponent(part)
  } catch {
    return part
  }
}
