// What somebody may do with one resource, by the roles that can be seen: so that no button is shown that is refused. The server
// decides about each request in any case.
import type { Document, Kind, Of, Verb } from './types'

type Lists = Pick<{ [K in Kind]: Of<K>[] }, 'Role' | 'Group' | 'Environment'>

/** Whether the roles and groups that can be seen are all that count. Whoever has a role for some projects sees none of them. */
export function isWhole({ Role, Group }: Pick<Lists, 'Role' | 'Group'>): boolean {
  const groups = new Set(Group.map(({ metadata }) => metadata.name))
  const known = (subject: Of<'Role'>['spec']['subjects'][number]): boolean => typeof subject === 'string' || 'user' in subject || groups.has(subject.group)
  return Role.length > 0 && Role.every(({ spec }) => spec.subjects.every(known))
}

/** Whether a role of theirs lets a person do this with a resource. */
export function lets(person: string, verb: Verb, one: Document, lists: Lists): boolean {
  const groups = new Set(lists.Group.filter(({ spec }) => spec.members.includes(person)).map(({ metadata }) => metadata.name))
  const { project, owner } = placeOf(one, lists)
  return lists.Role.some(({ spec }) => {
    const has = spec.subjects.some((subject) => (typeof subject === 'string' ? true : 'user' in subject ? subject.user === person : groups.has(subject.group)))
    const covers = spec.permissions.some(({ verbs, kinds }) => (!verbs?.length || verbs.includes(verb)) && (!kinds?.length || kinds.includes(one.kind)))
    return has && covers && (spec.projects == null || (project != null && spec.projects.includes(project))) && (!spec.own || owner === person)
  })
}

/** The project that a resource belongs to, and whose own it is, where that can be said. An execution is whose its environment is. */
function placeOf(one: Document, lists: Lists): { project?: string | null | undefined; owner?: string | null | undefined } {
  switch (one.kind) {
    case 'Project':
      return { project: one.metadata.name }
    case 'Runner':
      return { owner: one.spec.owner }
    case 'Environment':
      return { project: one.spec.project, owner: one.spec.owner }
    case 'Execution': {
      const environment = lists.Environment.find(({ metadata }) => metadata.name === one.spec.environment)
      return environment ? placeOf(environment, lists) : {}
    }
    case 'Secret': {
      const { scope } = one.spec
      if (typeof scope === 'string') return {}
      return 'project' in scope ? { project: scope.project } : { owner: scope.user }
    }
    default:
      return {}
  }
}
