// What the form of a kind asks for. What it does not ask for stays as it is, and can be changed as text.
import type { Kind } from './types'
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
}

/** What a new resource of a kind begins as, where it has no form or needs more than that. */
export const FIRST: Partial<Record<Kind, object>> = {
  Group: { members: [] },
  Runner: { variant: 'shared' },
  Role: { title: '', permissions: [{ verbs: ['get', 'list'], kinds: [] }], subjects: [{ user: 'NAME' }] },
  Environment: {
    desired_phase: 'running',
    project: 'PROJECT',
    runner: 'RUNNER',
    source: { type: 'repository', url: 'https://' },
    idle: {},
    rebuild: '',
  },
}

export type Json = null | boolean | number | string | Json[] | { [key: string]: Json }
export type Spec = { [key: string]: Json }

/** The value at a path. */
export function at(spec: Spec, path: string): Json | undefined {
  return path.split('.').reduce<Json | undefined>((value, key) => (value !== null && typeof value === 'object' && !Array.isArray(value) ? value[key] : undefined), spec)
}

/** The same spec with a value at a path, or without one: whoever leaves a field empty says nothing. */
export function put(spec: Spec, path: string, value: Json | undefined): Spec {
  const [key = '', ...rest] = path.split('.')
  const { [key]: before, ...others } = spec
  if (rest.length > 0) {
    const inner = before !== null && typeof before === 'object' && !Array.isArray(before) ? before : {}
    return { ...spec, [key]: put(inner, rest.join('.'), value) }
  }
  return value === undefined ? others : { ...spec, [key]: value }
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
