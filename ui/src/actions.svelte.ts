// What a person can do right now, for the palette: screens say it while they are shown.
import { SvelteSet } from 'svelte/reactivity'
import type { IconName } from './kit/Icon.svelte'

export interface Action {
  /** Unique among all there are. */
  id: string
  title: string
  /** What it belongs to, shown beside it: the name of an environment, a screen. */
  group: string
  icon?: IconName
  /** A shortcut, as it is shown. */
  keys?: string
  run: () => void | Promise<void>
}

const sources = new SvelteSet<() => Action[]>()

/** Offers these actions while the component is shown. */
export function useActions(source: () => Action[]): void {
  $effect(() => {
    sources.add(source)
    return () => sources.delete(source)
  })
}

/** All there are; reactive. */
export function allActions(): Action[] {
  return [...sources].flatMap((source) => source())
}
