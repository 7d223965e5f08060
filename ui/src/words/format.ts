// Numbers, sizes and times as the person's language writes them.
import { language } from './language.svelte'

const UNITS = ['B', 'kB', 'MB', 'GB', 'TB', 'PB']

/** A size, in powers of 1000, as disks and networks are sold: `1.4 GB`. */
export function bytes(count: number): string {
  let unit = 0
  let value = count
  while (value >= 1000 && unit < UNITS.length - 1) {
    value /= 1000
    unit += 1
  }
  return `${number(value, unit > 0 && value < 10 ? 1 : 0)} ${UNITS[unit]}`
}

/** A size of memory, in powers of 1024: `2 GiB`. */
export function memory(count: number): string {
  const mebibytes = count / (1 << 20)
  return mebibytes < 1024 ? `${number(mebibytes, 0)} MiB` : `${number(mebibytes / 1024, 1)} GiB`
}

export function number(value: number, digits = 0): string {
  return new Intl.NumberFormat(language.current, { maximumFractionDigits: digits }).format(value)
}

export function percent(value: number): string {
  return `${number(value, value < 10 ? 1 : 0)} %`
}

/** How long, in milliseconds: `0.4 s`, `2 min 5 s`, `3 h 10 min`. */
export function duration(millis: number): string {
  const seconds = millis / 1000
  if (seconds < 10) return `${number(seconds, 1)} s`
  if (seconds < 60) return `${number(seconds)} s`
  const minutes = Math.floor(seconds / 60)
  if (minutes < 60) return `${minutes} min ${Math.floor(seconds % 60)} s`
  const hours = Math.floor(minutes / 60)
  return hours < 48 ? `${hours} h ${minutes % 60} min` : `${Math.floor(hours / 24)} d ${hours % 24} h`
}

/** A round time, in seconds, in words: `8 hours`, `31 days`. */
export function span(seconds: number): string {
  const [unit, size] = ([['day', 86_400], ['hour', 3600], ['minute', 60]] as const).find(([, size]) => seconds >= size && seconds % size === 0) ?? (['second', 1] as const)
  return new Intl.NumberFormat(language.current, { style: 'unit', unit, unitDisplay: 'long' }).format(seconds / size)
}

/** A moment beside now: `3 minutes ago`, `in 2 hours`. */
export function ago(time: string | number | Date, now = Date.now()): string {
  const seconds = (new Date(time).getTime() - now) / 1000
  const format = new Intl.RelativeTimeFormat(language.current, { numeric: 'auto' })
  const size = Math.abs(seconds)
  if (size < 60) return format.format(Math.round(seconds), 'second')
  if (size < 3600) return format.format(Math.round(seconds / 60), 'minute')
  if (size < 86_400) return format.format(Math.round(seconds / 3600), 'hour')
  return format.format(Math.round(seconds / 86_400), 'day')
}

/** Date and time of day. */
export function moment(time: string | number | Date): string {
  return new Intl.DateTimeFormat(language.current, { dateStyle: 'medium', timeStyle: 'medium' }).format(new Date(time))
}

/** Time of day. */
export function clock(time: string | number | Date): string {
  return new Intl.DateTimeFormat(language.current, { timeStyle: 'medium' }).format(new Date(time))
}
