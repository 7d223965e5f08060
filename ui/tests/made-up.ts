// A daemon's answers, made up: for pictures and for how the screens look, where times and sizes must be the same each time.
// What the page does is tested against a real daemon.
import type { Page, Route } from '@playwright/test'
import type { Environment, Event, Machine, MetricsMessage, Problem, WatchMessage } from '../src/api/types'
import { docker } from './made-up-docker'
import { diagnosis, editors, examples, https, secrets, settings } from './made-up-settings'

/** The time of all that is made up. */
export const NOW = '2026-11-27T10:00:00Z'

const EARLIER = '2026-11-27T07:42:00Z'
const HOME = '/Users/ada'

function environment(name: string, more: { spec?: Partial<Environment['spec']>; status?: Partial<Environment['status']> } = {}): Environment {
  return {
    id: `id-${name}`,
    metadata: { name, created_at: '2026-11-20T09:00:00Z', generation: 3, resource_version: 40 },
    spec: {
      desired_phase: 'running',
      source: { type: 'folder', path: `${HOME}/src/${name}` },
      machine: 'default',
      rebuild: '',
      retry: '',
      unasked: 'wait',
      idle: { stop_after: 7200 },
      ...more.spec,
    },
    status: {
      phase: 'running',
      observed_generation: 3,
      retry: '',
      rebuild: '',
      conditions: [],
      warnings: [],
      services: [],
      hooks: [],
      ports: [],
      started_at: EARLIER,
      config_file: `${HOME}/src/${name}/.devcontainer/devcontainer.json`,
      container: {
        id: '5c1f2ab90d3e',
        name: `cove-${name}-1`,
        image: 'mcr.microsoft.com/devcontainers/typescript-node:22',
        running: true,
        remote_user: 'node',
        workspace_folder: `/workspaces/${name}`,
        config_digest: 'sha256:0',
        started_at: EARLIER,
      },
      ...more.status,
    },
  }
}

const hookFailed: Problem = {
  code: 'E0205',
  title: 'postCreateCommand of pipeline failed',
  causes: ['`poetry install` exited with 1'],
  place: { file: `${HOME}/src/pipeline/.devcontainer/devcontainer.json`, line: 14, column: 3 },
  hints: [{ text: 'look at it from inside; the container is up', command: 'cove shell pipeline' }, { text: 'mend it, and run the hook again', command: 'cove up pipeline' }],
  log_tail: ['Installing dependencies from lock file', 'pyproject.toml changed significantly since poetry.lock was last generated.', 'Run `poetry lock` to fix the lock file.'],
}

export const environments: Environment[] = [
  environment('shop', {
    spec: { grants: [{ kind: 'ssh-agent', host: 'github.com', granted_at: EARLIER, expires_at: '2026-11-27T15:42:00Z' }] },
    status: {
      title: 'Shop',
      services: [
        { name: 'app', container: 'shop-app-1', running: true },
        { name: 'db', container: 'shop-db-1', running: true, health: 'healthy' },
      ],
      hooks: [
        { stage: 'on_create', succeeded: true, millis: 4210 },
        { stage: 'post_create', succeeded: true, millis: 21_800 },
        { stage: 'post_start', succeeded: true, millis: 310 },
      ],
      ports: [
        { container_port: 3000, host_port: 3000, address: 'http://localhost:3000', label: 'the shop', transport: 'tcp', protocol: 'http', origin: 'configured', listening: true, program: 'node', on_listen: 'notify' },
        { container_port: 5432, host_port: 5432, service: 'db', label: 'Postgres', transport: 'tcp', protocol: 'tcp', origin: 'configured', listening: true, on_listen: 'silent' },
        { container_port: 9229, host_port: 9229, transport: 'tcp', protocol: 'tcp', origin: 'found', listening: true, program: 'node', on_listen: 'notify' },
      ],
      automations: {
        file: `${HOME}/src/shop/.cove/automations.yaml`,
        items: [
          { name: 'tasks/seed', title: 'Seed the database', phase: 'succeeded', session: '1', restarts: 0, exit_code: 0, millis: 3100, since: EARLIER },
          { name: 'services/web', title: 'Web server', phase: 'running', session: '1', restarts: 0, since: EARLIER, depends_on: ['tasks/seed'], pid: 412 },
          { name: 'services/worker', title: 'Mail worker', phase: 'running', session: '1', restarts: 1, since: EARLIER, depends_on: ['tasks/seed'], pid: 433 },
          { name: 'tasks/smoke', title: 'Smoke test', phase: 'idle', session: '', restarts: 0, depends_on: ['services/web', 'services/worker'] },
        ],
      },
      activity: { uses: [{ kind: 'shell', detail: '', since: EARLIER }] },
    },
  }),
  environment('docs', {
    spec: { desired_phase: 'stopped', source: { type: 'clone', url: 'https://github.com/acme/docs', branch: 'main', folder: `${HOME}/.cove/clones/docs` } },
    status: { phase: 'stopped', title: 'Docs', started_at: null, container: null },
  }),
  environment('pipeline', { status: { phase: 'updating', title: 'Pipeline', step: { kind: 'run_hook', stage: 'post_create' }, problem: hookFailed } }),
  environment('api', { status: { phase: 'starting', title: 'API', step: { kind: 'prepare_image' }, container: null, started_at: null } }),
]

export const machine: Machine = {
  metadata: { name: 'default', created_at: '2026-11-01T09:00:00Z', generation: 2, resource_version: 40 },
  spec: { keep_running: true, paused: false, cpus: 6, memory_mib: 8192, disk_gib: 100, shares: [HOME], trust_host_network: true, idle: { stop_after: 600 }, restart: '' },
  status: {
    phase: 'running',
    observed_generation: 2,
    restart: '',
    shares: [HOME],
    changes_shares: true,
    restart_needed_for: [],
    driver: 'vz',
    accelerator: { name: 'hvf' },
    kernel: '6.12.57-cloud-arm64',
    shim_pid: 4321,
    engine: 'ready',
    components: [
      { name: 'containerd', state: 'ready', restarts: 0 },
      { name: 'dockerd', state: 'ready', restarts: 0 },
    ],
    boot: [
      { name: 'kernel', uptime_ms: 210 },
      { name: 'root', uptime_ms: 290 },
      { name: 'network', uptime_ms: 340 },
      { name: 'engine', uptime_ms: 1180 },
    ],
    usage: {
      memory_total: 8_589_934_592,
      memory_used: 2_684_354_560,
      memory_cached: 1_610_612_736,
      host_memory: 3_006_477_107,
      disk_total: 107_374_182_400,
      disk_used: 21_474_836_480,
      host_disk: 24_696_061_952,
      uptime_ms: 8_280_000,
      pressure: { cpu: 3, io: 1, memory: 0 },
    },
    daemon_memory: 41_943_040,
    published_ports: {},
  },
}

const step = { kind: 'prepare_image' } as const
const of = { kind: 'environment', id: 'id-api' } as const
const told: Event[] = [
  { sequence: 41, time: '2026-11-27T09:59:31Z', object: of, kind: { type: 'step_started', step: { kind: 'read_config' }, detail: '' } },
  { sequence: 42, time: '2026-11-27T09:59:31Z', object: of, kind: { type: 'step_finished', step: { kind: 'read_config' }, millis: 12 } },
  { sequence: 43, time: '2026-11-27T09:59:31Z', object: of, kind: { type: 'step_started', step, detail: 'mcr.microsoft.com/devcontainers/go:1.25' } },
  { sequence: 44, time: '2026-11-27T09:59:50Z', object: of, kind: { type: 'progress', step, item: '3f1c9e2a77b0', current: 48_234_496, total: 48_234_496, unit: 'bytes' } },
  { sequence: 45, time: '2026-11-27T09:59:58Z', object: of, kind: { type: 'progress', step, item: 'a9d2b7c04e11', current: 96_468_992, total: 214_958_080, unit: 'bytes' } },
]

/** The last ten minutes of a machine in which something is built. */
const metrics: MetricsMessage[] = Array.from({ length: 300 }, (_, at) => {
  const wave = (every: number, shift = 0): number => (1 + Math.sin(at / every + shift)) / 2
  const building = at > 120 && at < 230 ? 1 : 0
  return {
    type: 'sample',
    time: new Date(Date.parse(NOW) - (300 - at) * 2000).toISOString(),
    cpu: 4 + 6 * wave(9) + building * (48 + 20 * wave(5, 1)),
    memory_total: 8_589_934_592,
    memory_used: 2_100_000_000 + building * 500_000_000 + 90_000_000 * wave(14),
    memory_cached: 900_000_000 + at * 2_300_000,
    host_memory: 2_700_000_000 + at * 1_000_000,
    disk_total: 107_374_182_400,
    disk_used: 21_474_836_480,
    host_disk: 24_696_061_952,
    disk_read: Math.round(200_000 * wave(4) + building * 9_000_000 * wave(3)),
    disk_written: Math.round(90_000 * wave(6, 2) + building * 21_000_000 * wave(7)),
    network_in: Math.round(40_000 * wave(5) + building * 6_500_000 * wave(8, 1)),
    network_out: Math.round(16_000 * wave(6) + building * 240_000 * wave(4)),
  }
})

const shop = { kind: 'environment', id: 'id-shop' } as const
const happened: Event[] = [
  { sequence: 36, time: '2026-11-27T09:58:02Z', object: { kind: 'environment', id: 'id-pipeline' }, kind: { type: 'step_failed', step: { kind: 'run_hook', stage: 'post_create' }, problem: hookFailed } },
  { sequence: 33, time: '2026-11-27T09:57:40Z', object: { kind: 'environment', id: 'id-pipeline' }, kind: { type: 'step_started', step: { kind: 'run_hook', stage: 'post_create' }, detail: 'poetry install' } },
  { sequence: 21, time: '2026-11-27T07:42:31Z', object: shop, kind: { type: 'step_finished', step: { kind: 'forward_ports' }, millis: 41 } },
  { sequence: 20, time: '2026-11-27T07:42:30Z', object: shop, kind: { type: 'step_finished', step: { kind: 'run_hook', stage: 'post_create' }, millis: 21_800 } },
  { sequence: 18, time: '2026-11-27T07:42:08Z', object: shop, kind: { type: 'step_started', step: { kind: 'run_hook', stage: 'post_create' }, detail: 'npm ci' } },
  { sequence: 12, time: '2026-11-27T07:42:01Z', object: { kind: 'machine', id: 'default' }, kind: { type: 'step_finished', step: { kind: 'start_machine' }, millis: 1180 } },
]

/** Answers by their paths; what is not here is answered as an empty list. A screen's cases may add theirs. */
export type Answers = Record<string, unknown>

const known: Answers = {
  '/v1/version': { version: '0.1.0', api: 'v1', pid: 4000 },
  '/v1/environments': environments,
  '/v1/machines/default': machine,
  '/v1/machines/default/metrics': metrics,
  '/v1/events': { events: happened },
  ...docker,
  '/v1/settings': settings,
  '/v1/editors': editors,
  '/v1/https': https,
  '/v1/secrets': secrets,
  '/v1/examples': examples,
  '/v1/doctor': diagnosis,
}

function ndjson(route: Route, values: unknown[]): Promise<void> {
  return route.fulfill({ contentType: 'application/x-ndjson', body: values.map((value) => `${JSON.stringify(value)}\n`).join('') })
}

/** Lets a page that is served anywhere speak to the made-up daemon. */
export async function madeUp(page: Page, more: Answers = {}): Promise<void> {
  await page.clock.setFixedTime(NOW)
  await page.addInitScript(() => {
    sessionStorage.setItem('cove.session', 'made-up')
    // A watch and the machine's numbers never end; made-up answers do. What is asked again after them is not answered.
    const real = window.fetch
    const answered = new Set<string>()
    window.fetch = (input, init) => {
      const url = input instanceof Request ? input.url : String(input)
      const endless = ['/v1/watch', '/metrics'].find((part) => url.includes(part))
      if (endless && answered.has(endless)) return new Promise(() => undefined)
      if (endless) answered.add(endless)
      return real(input, init)
    }
  })
  const answers: Answers = { ...known, ...more }
  for (const one of environments) answers[`/v1/environments/${one.id}`] = answers[`/v1/environments/${one.metadata.name}`] = one
  await page.route('**/v1/**', (route) => {
    const path = new URL(route.request().url()).pathname
    if (path === '/v1/watch') {
      const messages: WatchMessage[] = [{ type: 'synced', sequence: 40 }, ...told.map((event) => ({ type: 'event', ...event }) as WatchMessage)]
      return ndjson(route, messages)
    }
    const answer = answers[path]
    if (Array.isArray(answer) && /\/(logs|metrics|audit)$/.test(path)) return ndjson(route, answer)
    return route.fulfill({ json: answer ?? [] })
  })
}
