// Where the page is: `#/environments/web/logs?tail=100`. The address is the only state of it, so that back, forward and
// a reload work, and a link leads to one place.
import { createSubscriber } from 'svelte/reactivity'

export const SCREENS = ['environments', 'open', 'docker', 'machine', 'activity', 'settings', 'diagnostics', 'welcome'] as const

export type Screen = (typeof SCREENS)[number]

export interface Route {
  screen: Screen
  /** What follows the screen: a name, a tab. Decoded. */
  rest: string[]
  query: Record<string, string>
}

/** The route an address names; what is unknown leads to the list of environments. */
export function parse(hash: string): Route {
  const [path = '', query = ''] = hash.replace(/^#\/?/, '').split('?', 2)
  const [first = '', ...rest] = path.split('/').map(decoded)
  const screen = SCREENS.find((screen) => screen === first)
  return {
    screen: screen ?? 'environments',
    rest: screen ? rest.filter((part) => part !== '') : [],
    query: Object.fromEntries(new URLSearchParams(query)),
  }
}

/** The address of a route. */
export function href(screen: Screen, rest: string[] = [], query: Record<string, string> = {}): string {
  const path = [screen, ...rest].map(encodeURIComponent).join('/')
  const asked = new URLSearchParams(query).toString()
  return asked ? `#/${path}?${asked}` : `#/${path}`
}

/** Goes there, as a link would. */
export function go(screen: Screen, rest: string[] = [], query: Record<string, string> = {}): void {
  location.hash = href(screen, rest, query)
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
