// What a made-up daemon says of settings, editors, secrets and examples.
import type { Diagnosis, Editors, Example, Https, SecretStatus, Setting, SettingsReport } from '../src/api/types'

const HOME = '/Users/ada'

type Kind = { [K in Setting['kind']]: Omit<Extract<Setting, { kind: K }>, 'key' | 'value' | 'default' | 'in_force' | 'takes_effect' | 'pending'> }[Setting['kind']]

function setting(key: string, kind: Kind, usual: unknown, takes_effect: Setting['takes_effect'], said?: unknown): Setting {
  const common = { key, default: usual, in_force: said ?? usual, takes_effect, pending: false }
  return { ...kind, ...common, ...(said === undefined ? {} : { value: said }) } as Setting
}

const toggle = { kind: 'toggle' } as const
const time = { kind: 'time' } as const
const port = { kind: 'number', minimum: 0, maximum: 65_535 } as const

export const settings: SettingsReport = {
  file: `${HOME}/.cove/config.toml`,
  digest: 'e3b0c442',
  daemon_restart_needed: false,
  settings: [
    setting('shares', { kind: 'folders', most: 16 }, [HOME], 'at_once', ['~/src', '/Volumes/work']),
    setting('trust_host_certificates', toggle, true, 'machine_start'),
    setting('machine.cpus', { kind: 'number', minimum: 1, maximum: 12 }, 8, 'machine_start'),
    setting('machine.memory_mib', { kind: 'number', minimum: 512, maximum: 24_576 }, 8192, 'machine_start', 12_288),
    setting('machine.disk_gib', { kind: 'number', minimum: 100, maximum: 926 }, 64, 'machine_start', 100),
    setting('machine.idle', time, '10m', 'at_once'),
    setting('environments.idle', time, 'never', 'at_once', '2h'),
    setting('consent.initialize_command', { kind: 'choice', options: ['ask', 'always', 'never', 'sandbox'] }, 'ask', 'daemon_start'),
    setting('consent.host_mounts', { kind: 'choice', options: ['ask', 'always', 'never'] }, 'ask', 'daemon_start'),
    setting('names.http_port', port, 7080, 'daemon_start'),
    setting('names.https_port', port, 7443, 'daemon_start'),
    setting('registries.offline', toggle, false, 'daemon_start'),
    setting('registries.plain_http', { kind: 'words' }, [], 'daemon_start'),
    setting('dotfiles.repository', { kind: 'text' }, null, 'at_once', 'ada/dotfiles'),
    setting('dotfiles.install_command', { kind: 'text' }, null, 'at_once'),
    setting('dotfiles.target_path', { kind: 'text' }, null, 'at_once'),
    setting('back_up_machines', toggle, false, 'at_once'),
  ],
}

export const editors: Editors = {
  chosen: 'zed',
  opens: 'zed',
  editors: [
    { name: 'code', title: 'VS Code', way: 'attaches', found: true, program: '/usr/local/bin/code' },
    { name: 'cursor', title: 'Cursor', way: 'attaches', found: false },
    { name: 'windsurf', title: 'Windsurf', way: 'attaches', found: false },
    { name: 'zed', title: 'Zed', way: 'ssh', found: true, program: '/usr/local/bin/zed' },
    { name: 'code-insiders', title: 'VS Code Insiders', way: 'attaches', found: false },
    { name: 'jetbrains', title: 'JetBrains Gateway', way: 'ssh', found: false },
    { name: 'terminal', title: 'a terminal', way: 'shell', found: true },
  ],
}

export const https: Https = { on: true, certificate: `${HOME}/.cove/https/cove-authority.pem`, port: 7443 }

export const secrets: SecretStatus[] = [
  { name: 'NPM_TOKEN', scope: { type: 'user' }, target: { type: 'variable', name: 'NPM_TOKEN' }, changed: '2026-11-20T09:00:00Z', masked: true },
  { name: 'DB_PASSWORD', scope: { type: 'project', folder: `${HOME}/src/shop` }, target: { type: 'file', path: '/run/secrets/db' }, changed: '2026-11-26T18:30:00Z', masked: true },
]

export const examples: Example[] = [{ name: 'hello', description: 'A page that a container serves', folder: `${HOME}/Cove/hello`, is_there: false, files: ['README.md'] }]

export const diagnosis: Diagnosis = {
  checks: [
    { name: 'state folder', outcome: 'good', finding: `${HOME}/.cove, 412 GiB free` },
    { name: 'hypervisor', outcome: 'good', finding: 'Virtualization.framework' },
    { name: 'guest image', outcome: 'good', finding: 'Linux 6.12.57, every digest matches' },
    {
      name: 'docker context',
      outcome: 'warning',
      finding: '`docker` does not know the machine',
      problem: { code: 'E0311', title: '`docker` does not know the machine', hints: [{ text: 'make the context', command: 'cove docker context' }] },
    },
  ],
}
