// What policies and roles say, as people read it.
import { number, span } from '../words/format'
import type { Of, PolicySpec } from './types'
import { words } from './words'

/** What a policy is for, and a sentence for each of its limits. */
export function sentences(spec: PolicySpec): { scope: string; limits: string[] } {
  const said = words.console.policies
  const list = (all: string[]): string => (all.length > 0 ? all.join(', ') : said.none)
  const limits = [
    spec.editors != null && said.editors(list(spec.editors)),
    spec.images != null && said.images(list(spec.images)),
    spec.running_per_user != null && said.running_per_user(number(spec.running_per_user)),
    spec.environments_per_user != null && said.environments_per_user(number(spec.environments_per_user)),
    spec.stop_after != null && said.stop_after(span(spec.stop_after)),
    spec.delete_after != null && said.delete_after(span(spec.delete_after)),
    spec.ports != null && said.ports[spec.ports],
    spec.egress != null && said.egress(list(spec.egress)),
    spec.host_mounts != null && said.host_mounts[`${spec.host_mounts}`],
    spec.initialize_command != null && said.initialize_command[`${spec.initialize_command}`],
  ]
  return {
    scope: spec.projects == null ? said.all : said.only(list(spec.projects)),
    limits: limits.filter((limit) => limit !== false),
  }
}

type Role = Of<'Role'>['spec']

/** What a role lets somebody do. */
export function permits(role: Role): string[] {
  const said = words.console.people
  const lines = role.permissions.map(({ verbs, kinds }) => {
    const all = { verbs: !verbs?.length, kinds: !kinds?.length }
    const may = all.verbs ? said.anything : (verbs ?? []).map((verb) => words.console.verbs[verb]).join(', ')
    const what = all.kinds ? said.everything : (kinds ?? []).map((kind) => words.console.kinds[kind]).join(', ')
    return said.ofKinds(may, what)
  })
  if (role.own) lines.push(said.own)
  if (role.projects) lines.push(said.onlyProjects(role.projects.join(', ') || words.common.none))
  return lines
}

/** Who has a role. */
export function subjects(role: Role): string {
  const named = (role.subjects ?? []).map((subject) => {
    if (typeof subject === 'string') return words.console.people.everybody
    return 'user' in subject ? subject.user : subject.group
  })
  return named.join(', ') || words.common.none
}
