// Sizes and times, as settings say them and as people read them.
import { language, words } from '../../words/index.svelte'
import { number } from '../../words/format'

/** The steps of the slider for memory, in MiB. */
export const MEMORY_STEP = 512

export const asCores = (value: unknown): string => words.settings.resources.cores(Number(value))

export const asMemory = (value: unknown): string => `${number(Number(value) / 1024, 1)} GiB`

export const asDisk = (value: unknown): string => `${number(Number(value))} GiB`

const UNITS = { d: 'day', h: 'hour', m: 'minute', s: 'second' } as const

/** A time such as `1h30m` in words; `never` too. */
export function asTime(value: unknown): string {
  const text = String(value)
  if (text === 'never') return words.settings.idle.never
  const parts = [...text.matchAll(/(\d+)([dhms])/g)].map(([, count, unit]) => {
    const of = UNITS[unit as keyof typeof UNITS]
    return new Intl.NumberFormat(language.current, { style: 'unit', unit: of, unitDisplay: 'long' }).format(Number(count))
  })
  return parts.join(' ') || text
}
