// An organization that has something of everything, for pictures and for looks. What runners would report is put into what
// the server answers.
import type { Page } from '@playwright/test'
import { apply } from './world'

/** An age recipient; nobody has its key. */
const RECIPIENT = 'age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p'

export function declare(): void {
  apply(
    { kind: 'User', metadata: { name: 'eve' }, spec: { email: 'eve@example.com', suspended: true } },
    { kind: 'Role', metadata: { name: 'viewer' }, spec: { title: 'Sees everything, and uses projects', permissions: [{ verbs: ['get', 'list'] }, { verbs: ['use'], kinds: ['Project', 'EnvironmentClass'] }], subjects: [{ user: 'bob' }] } },
    { kind: 'Policy', metadata: { name: 'base' }, spec: { running_per_user: 3, stop_after: 28800, editors: ['code', 'zed'], initialize_command: false } },
    { kind: 'Runner', metadata: { name: 'mac-bob' }, spec: { title: 'Bob’s Mac', variant: 'personal', owner: 'bob' } },
    { kind: 'Environment', metadata: { name: 'shop-bob' }, spec: { desired_phase: 'stopped', project: 'shop', owner: 'bob', runner: 'mac-bob', source: { type: 'repository', url: 'https://github.com/example/shop' } } },
  )
}

type Answer = { kind: string; metadata: { name: string }; spec: Record<string, unknown>; status: Record<string, unknown> }

const STATUS: Record<string, Record<string, unknown>> = {
  'big-linux': { phase: 'active', version: '0.1.0', platform: 'linux/amd64', recipient: RECIPIENT },
  'mac-bob': { phase: 'away', version: '0.1.0', platform: 'macos/arm64' },
  'shop-ann': {
    phase: 'running',
    runner: 'big-linux',
    unsaved: 3,
    conflicts: [{ field: 'desired_phase', value: 'running', rivals: [{ value: 'stopped', author: 'big-linux' }] }],
  },
  'shop-bob': { phase: 'stopped', runner: 'mac-bob' },
}

/** What runners would have told. */
export async function reported(page: Page): Promise<void> {
  const tell = (one: Answer): Answer => ({ ...one, status: { ...one.status, ...STATUS[one.metadata.name] } })
  await page.route(/\/v1\/organizations\/acme\/(runners|environments)(\?.*)?$/, async (route) => {
    const response = await route.fetch()
    await route.fulfill({ response, json: ((await response.json()) as Answer[]).map(tell) })
  })
}
