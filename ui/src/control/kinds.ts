import type { Kind, PluralKind } from './types'

/** Each kind, as it is written in an address. */
export const PLURAL: Record<Kind, PluralKind> = {
  Organization: 'organizations',
  User: 'users',
  Group: 'groups',
  Role: 'roles',
  Policy: 'policies',
  Project: 'projects',
  Runner: 'runners',
  EnvironmentClass: 'environment-classes',
  Environment: 'environments',
  Execution: 'executions',
  Secret: 'secrets',
}

export const KINDS = Object.keys(PLURAL) as Kind[]
