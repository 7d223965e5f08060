// What a person wants of the machine: what cannot be, what may be unwise, and when it takes effect. Pure.
import type { HostSize, IdlePolicy, MachinePatch, MachineSpec } from '../../api/types'

/** As it stands in the form: sizes as they were typed. */
export interface Draft {
  cpus: string
  memory: string
  disk: string
  shares: string[]
  keep: boolean
  trust: boolean
  idle: number | null
}

export type Mistake = 'notANumber' | 'tooFewCpus' | 'tooManyCpus' | 'tooLittleMemory' | 'tooMuchMemory' | 'shrinks' | 'tooBigDisk'
export type Concern = 'muchMemory' | 'veryMuchMemory' | 'muchDisk'

export interface Judgement {
  mistakes: { cpus?: Mistake; memory?: Mistake; disk?: Mistake }
  concerns: { memory?: Concern; disk?: Concern }
  /** What is to be sent; nothing when nothing changes or something cannot be. */
  patch?: MachinePatch
  /** The parts of it that take effect at a restart. */
  restart: string[]
}

/** Idle limits that are offered, in minutes. */
export const IDLE = [5, 10, 30, 60, 120, 480]

const LEAST_MEMORY = 512
const MOST_DISK = 16_384

export function draftOf(spec: MachineSpec): Draft {
  return {
    cpus: String(spec.cpus),
    memory: String(Math.round((spec.memory_mib / 1024) * 100) / 100),
    disk: String(spec.disk_gib),
    shares: [...spec.shares],
    keep: spec.keep_running,
    trust: spec.trust_host_network,
    idle: spec.idle.stop_after ?? null,
  }
}

/** What comes of a draft. Sizes that were not touched are never judged: they may be of another computer. */
export function judge(draft: Draft, spec: MachineSpec, host: HostSize | undefined, changesShares: boolean): Judgement {
  const before = draftOf(spec)
  const { mistakes, concerns, patch, restart }: Judgement & { patch: MachinePatch } = { mistakes: {}, concerns: {}, patch: {}, restart: [] }
  if (draft.cpus.trim() !== before.cpus) {
    const cpus = whole(draft.cpus)
    if (cpus === undefined) mistakes.cpus = 'notANumber'
    else if (cpus < 1) mistakes.cpus = 'tooFewCpus'
    else if (host && cpus > host.processors) mistakes.cpus = 'tooManyCpus'
    else patch.cpus = cpus
  }
  if (draft.memory.trim() !== before.memory) {
    const gib = numeric(draft.memory)
    const memory = gib === undefined ? undefined : Math.round(gib * 1024)
    if (memory === undefined) mistakes.memory = 'notANumber'
    else if (memory < LEAST_MEMORY) mistakes.memory = 'tooLittleMemory'
    else if (host && memory > host.memory_mib) mistakes.memory = 'tooMuchMemory'
    else patch.memory_mib = memory
  }
  if (draft.disk.trim() !== before.disk) {
    const disk = whole(draft.disk)
    if (disk === undefined) mistakes.disk = 'notANumber'
    else if (disk < spec.disk_gib) mistakes.disk = 'shrinks'
    else if (disk > MOST_DISK) mistakes.disk = 'tooBigDisk'
    else patch.disk_gib = disk
  }
  const memory = patch.memory_mib ?? spec.memory_mib
  if (host && !mistakes.memory) {
    if (memory > (host.memory_mib * 3) / 4) concerns.memory = 'veryMuchMemory'
    else if (memory > host.memory_mib / 2) concerns.memory = 'muchMemory'
  }
  if (host && patch.disk_gib && (patch.disk_gib - spec.disk_gib) * 2 ** 30 > host.disk_free) concerns.disk = 'muchDisk'
  for (const part of ['cpus', 'memory_mib', 'disk_gib'] as const) if (patch[part] !== undefined) restart.push(part)
  if (draft.shares.join('\0') !== before.shares.join('\0')) {
    patch.shares = draft.shares
    if (!changesShares) restart.push('shares')
  }
  if (draft.keep !== before.keep) patch.keep_running = draft.keep
  if (draft.trust !== before.trust) patch.trust_host_network = draft.trust
  if (draft.idle !== before.idle) patch.idle = idleOf(draft.idle)
  const can = Object.keys(mistakes).length === 0 && Object.keys(patch).length > 0
  return { mistakes, concerns, restart, ...(can ? { patch } : {}) }
}

/** Why a path cannot be shared, if so. */
export function refusedShare(path: string, shares: string[]): 'notAbsolute' | 'sharedAlready' | undefined {
  if (!path.startsWith('/')) return 'notAbsolute'
  return shares.includes(path) ? 'sharedAlready' : undefined
}

function idleOf(seconds: number | null): IdlePolicy {
  return seconds === null ? {} : { stop_after: seconds }
}

function numeric(text: string): number | undefined {
  const value = Number(text.trim().replace(',', '.'))
  return text.trim() === '' || !Number.isFinite(value) ? undefined : value
}

function whole(text: string): number | undefined {
  const value = numeric(text)
  return value !== undefined && Number.isInteger(value) ? value : undefined
}
