// The least that can be declared of each kind, for whoever has none yet. Names are those of examples/team.
import type { Kind } from './types'

const SPECS: Partial<Record<Kind, [string, string]>> = {
  Environment: [
    'shop-ann',
    `
  desired_phase: running
  project: shop
  owner: ann
  runner: big-linux
  class: linux-large
  source: { type: repository, url: "https://github.com/example/shop" }`,
  ],
  Project: ['shop', ' { repository: { url: "https://github.com/example/shop" } }'],
  Runner: ['big-linux', ' { variant: shared }'],
  EnvironmentClass: ['linux-large', ' { runner: big-linux, configuration: { cpus: 8 } }'],
  Policy: ['base', ' { running_per_user: 3, stop_after: 28800 }'],
  User: ['ann', ' { email: ann@example.com }'],
  Group: ['developers', ' { members: [ann] }'],
  Role: ['viewer', ' { permissions: [{ verbs: [get, list] }], subjects: [everybody] }'],
}

/** A file that declares one. */
export function example(kind: Kind): string | undefined {
  const [name, spec] = SPECS[kind] ?? []
  return name && `kind: ${kind}\nmetadata: { name: ${name} }\nspec:${spec}\n`
}
