// What policies come to, as the server and a runner take them together.
import type { Of, PolicySpec } from './types'

export interface Limit {
  /** A policy that says this and nothing else. */
  spec: PolicySpec
  /** Who sets it, by name. */
  policies: string[]
}

/** From the narrowest to the widest. */
const ADMISSIONS = ['owner', 'organization', 'everybody']

/** Limits of which the lowest counts. Of the others each is one of its own: what is to be let through is let through by all. */
const BOUNDS = ['running_per_user', 'environments_per_user', 'stop_after', 'delete_after', 'ports', 'host_mounts', 'initialize_command'] as const
const LISTS = ['editors', 'images', 'egress'] as const

/** What policies come to for an environment of a project, or of none: as the server and the runner take them together. */
export function limitsFor(policies: Of<'Policy'>[], project: string | undefined): Limit[] {
  const holding = policies.filter(({ spec }) => spec.projects == null || (project !== undefined && spec.projects.includes(project)))
  const lists = LISTS.flatMap((limit) => holding.filter(({ spec }) => spec[limit] != null).map(({ spec, metadata }) => ({ spec: { [limit]: spec[limit] }, policies: [metadata.name] })))
  const bounds = BOUNDS.flatMap((limit) => {
    const given = holding.filter(({ spec }) => spec[limit] != null)
    const rank = ({ spec }: Of<'Policy'>): number => (limit === 'ports' ? ADMISSIONS.indexOf(String(spec[limit])) : Number(spec[limit]))
    const lowest = Math.min(...given.map(rank))
    const setting = given.filter((policy) => rank(policy) === lowest)
    return setting[0] ? [{ spec: { [limit]: setting[0].spec[limit] }, policies: setting.map(({ metadata }) => metadata.name) }] : []
  })
  return [...lists, ...bounds]
}
