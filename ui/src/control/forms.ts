// What the form of a kind asks for. What it does not ask for stays as it is, and can be changed as text.
import type { Kind, Of } from './types'
import type { words } from './words'

export interface Asked {
  /** Where in the spec: `repository.url`. */
  path: keyof typeof words.console.fields
  type: 'text' | 'lines' | 'number' | 'flag' | 'yes-no' | 'choice' | 'name'
  required?: boolean
  /** What a choice is among. */
  among?: (keyof typeof words.console.choices)[]
  /** Of which kind a name is. */
  of?: Kind
  /** Cannot be changed later. */
  fixed?: boolean
}

export const FORMS: Partial<Record<Kind, Asked[]>> = {
  Organization: [
    { path: 'title', type: 'text' },
    { path: 'domains', type: 'lines' },
  ],
  User: [
    { path: 'email', type: 'text', required: true },
    { path: 'title', type: 'text' },
    { path: 'suspended', type: 'flag' },
  ],
  Group: [
    { path: 'title', type: 'text' },
    { path: 'members', type: 'lines', required: true },
  ],
  Project: [
    { path: 'title', type: 'text' },
    { path: 'repository.url', type: 'text', required: true },
    { path: 'repository.branch', type: 'text' },
    { path: 'config', type: 'text' },
    { path: 'automations', type: 'text' },
    { path: 'editors', type: 'lines' },
  ],
  Runner: [
    { path: 'title', type: 'text' },
    { path: 'variant', type: 'choice', among: ['shared', 'personal'], required: true, fixed: true },
    { path: 'owner', type: 'name', of: 'User' },
    { path: 'paused', type: 'flag' },
  ],
  EnvironmentClass: [
    { path: 'title', type: 'text' },
    { path: 'runner', type: 'name', of: 'Runner', required: true, fixed: true },
    { path: 'paused', type: 'flag' },
  ],
  Environment: [
    { path: 'project', type: 'name', of: 'Project' },
    { path: 'source.url', type: 'text', required: true },
    { path: 'source.branch', type: 'text' },
    { path: 'config', type: 'text' },
    { path: 'class', type: 'name', of: 'EnvironmentClass' },
    { path: 'runner', type: 'name', of: 'Runner', required: true, fixed: true },
    { path: 'owner', type: 'name', of: 'User' },
    { path: 'desired_phase', type: 'choice', among: ['running', 'stopped'], required: true },
    { path: 'idle.stop_after', type: 'number' },
  ],
  Policy: [
    { path: 'projects', type: 'lines' },
    { path: 'editors', type: 'lines' },
    { path: 'images', type: 'lines' },
    { path: 'running_per_user', type: 'number' },
    { path: 'environments_per_user', type: 'number' },
    { path: 'stop_after', type: 'number' },
    { path: 'delete_after', type: 'number' },
    { path: 'ports', type: 'choice', among: ['owner', 'organization', 'everybody'] },
    { path: 'egress', type: 'lines' },
    { path: 'host_mounts', type: 'yes-no' },
    { path: 'initialize_command', type: 'yes-no' },
  ],
  // Its value is sealed where somebody types it, which is not here.
  Secret: [],
}

/** What a new resource of a kind begins as, where it has no form or needs more than that. */
export const FIRST: Partial<Record<Kind, object>> = {
  Group: { members: [] },
  Runner: { variant: 'shared' },
  Role: { title: '', permissions: [{ verbs: ['get', 'list'], kinds: [] }], subjects: [{ user: 'NAME' }] },
  Environment: { desired_phase: 'running', source: { type: 'repository', url: '' }, idle: {}, rebuild: '' },
}

export type Json = null | boolean | number | string | Json[] | { [key: string]: Json }
export type Spec = { [key: string]: Json }

const isObject = (value: Json | undefined): value is Spec => value !== null && typeof value === 'object' && !Array.isArray(value)

/** The value at a path. */
export function at(spec: Spec, path: string): Json | undefined {
  return path.split('.').reduce<Json | undefined>((value, key) => (isObject(value) ? value[key] : undefined), spec)
}

/** The same spec with a value at a path, or without one: whoever leaves a field empty says nothing. */
export function put(spec: Spec, path: string, value: Json | undefined): Spec {
  const [key = '', ...rest] = path.split('.')
  const { [key]: before, ...others } = spec
  if (rest.length > 0) {
    return { ...spec, [key]: put(isObject(before) ? before : {}, rest.join('.'), value) }
  }
  return value === undefined ? others : { ...spec, [key]: value }
}

/** Whether a form asks for a field of this spec: files that are a folder of a runner have no repository. */
export function isAsked(spec: Spec, { path }: Asked): boolean {
  return !path.startsWith('source.') || at(spec, 'source.type') === 'repository'
}

type Classes = Pick<Of<'EnvironmentClass'>, 'metadata' | 'spec'>[]

/** A new environment after its project was chosen: with the project's repository, and the place that it prefers. */
export function ofProject(spec: Spec, project: Of<'Project'>['spec'], classes: Classes): Spec {
  const { repository, config } = project
  const preferred = project.classes?.find((choice) => typeof choice !== 'string')
  const whole = put(put({ ...spec, source: { type: 'repository', ...repository } as Spec }, 'config', config ?? undefined), 'class', preferred?.class)
  return preferred ? onClass(whole, preferred.class, classes) : whole
}

/** A new environment after its class was chosen, which says where it runs. */
export function onClass(spec: Spec, name: string | undefined, classes: Classes): Spec {
  const chosen = classes.find(({ metadata }) => metadata.name === name)
  return chosen ? put(spec, 'runner', chosen.spec.runner) : spec
}

/** What a text stands for in a field. */
export function read(type: Asked['type'], text: string): Json | undefined {
  const trimmed = text.trim()
  if (type === 'lines') {
    const lines = text.split(/[\n,]/).map((line) => line.trim()).filter((line) => line !== '')
    return lines.length > 0 ? lines : undefined
  }
  if (trimmed === '') return undefined
  if (type === 'yes-no') return trimmed === 'true'
  // What is no number is sent as it was typed: the server says what can be there.
  if (type === 'number') return /^\d+$/.test(trimmed) ? Number(trimmed) : trimmed
  return trimmed
}

/** A value as a field shows it. */
export function shown(value: Json | undefined): string {
  if (value == null) return ''
  if (Array.isArray(value)) return value.map(String).join('\n')
  return typeof value === 'object' ? JSON.stringify(value) : String(value)
}

export interface Label {
  name: string
  value: string
}

/** Labels as rows that somebody may edit. */
export function rowsOf(labels: Record<string, string> | undefined): Label[] {
  return Object.entries(labels ?? {}).map(([name, value]) => ({ name, value }))
}

/** Labels of rows; those that are empty say nothing. Or the name that two have, which is empty where a value has none. */
export function labelsOf(rows: Label[]): { labels: Record<string, string> } | { wrong: string } {
  const labels = new Map<string, string>()
  for (const row of rows) {
    const name = row.name.trim()
    if (name === '' && row.value.trim() === '') continue
    if (name === '' || labels.has(name)) return { wrong: name }
    labels.set(name, row.value)
  }
  return { labels: Object.fromEntries(labels) }
}

/** What somebody made of `base`, made of `theirs` instead: each field that they changed, and the others as they are there. */
export function onto(base: Json | undefined, mine: Json | undefined, theirs: Json | undefined): Json | undefined {
  if (JSON.stringify(mine) === JSON.stringify(base)) return theirs
  if (!isObject(mine) || !isObject(theirs)) return mine
  const before = isObject(base) ? base : {}
  const keys = new Set([...Object.keys(theirs), ...Object.keys(mine), ...Object.keys(before)])
  const merged: Spec = {}
  for (const key of keys) {
    const value = onto(before[key], mine[key], theirs[key])
    if (value !== undefined) merged[key] = value
  }
  return merged
}
