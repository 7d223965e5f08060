/** The version this page was built for, as the daemon that carries it says. */
export const VERSION: string = import.meta.env['VITE_COVE_VERSION'] ?? '0.1.0'

/** Whether `a` is older than `b`; versions are numbers with dots. */
export function older(a: string, b: string): boolean {
  const [left, right] = [a, b].map((version) => version.split(/[.+-]/).map((part) => Number.parseInt(part, 10) || 0))
  for (let part = 0; part < 3; part += 1) {
    const difference = (left?.[part] ?? 0) - (right?.[part] ?? 0)
    if (difference !== 0) return difference < 0
  }
  return false
}
