// The daemon behind the page, from the other side: the same API on its unix socket, the engine, the files.
import { expect, test as base, type Page } from '@playwright/test'
import { execFileSync } from 'node:child_process'
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { request } from 'node:http'
import { dirname, join } from 'node:path'
import type { Environment } from '../src/api/types'
import { accessible, fits } from './accessible'

/** Something that whoever runs the cases must tell. */
export function variable(name: string): string {
  const value = process.env[name]
  if (!value) throw new Error(`${name} is not set: run this by \`cargo test -p tests --test ui\``)
  return value
}

/** An image that the engine has, with busybox in it. */
export const IMAGE = variable('COVE_TEST_IMAGE')

/** A configuration that needs nothing but the engine. */
export function config(more: object = {}): object {
  return { name: 'Web', image: IMAGE, remoteUser: 'root', updateRemoteUserUID: false, ...more }
}

export const world = {
  /** Runs `cove`, which starts the daemon where there is none. */
  cove(...args: string[]): string {
    return execFileSync('cove', args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] })
  },

  docker(...args: string[]): string {
    return execFileSync('docker', args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] })
  },

  /** A call of the API, over its socket. */
  call<T>(method: string, path: string, body?: unknown): Promise<T> {
    return new Promise((resolve, reject) => {
      const socketPath = join(variable('COVE_HOME'), 'run/coved.sock')
      const call = request({ socketPath, method, path, headers: { host: 'coved' } }, (answer) => {
        let text = ''
        answer.setEncoding('utf8').on('data', (piece: string) => (text += piece))
        answer.on('end', () => {
          if ((answer.statusCode ?? 500) < 300) resolve((text ? JSON.parse(text) : undefined) as T)
          else reject(new Error(`${method} ${path}: ${answer.statusCode} ${text}`))
        })
      })
      call.on('error', reject)
      call.end(body === undefined ? '' : JSON.stringify(body))
    })
  },

  /** A folder with a configuration, made anew; `files` by their paths in it. */
  project(name: string, configuration: object = config(), files: Record<string, string> = {}): string {
    const folder = join(variable('COVE_TEST_SOURCES'), name)
    rmSync(folder, { recursive: true, force: true })
    const all = { '.devcontainer.json': JSON.stringify(configuration, null, 2), ...files }
    for (const [path, text] of Object.entries(all)) {
      mkdirSync(dirname(join(folder, path)), { recursive: true })
      writeFileSync(join(folder, path), text)
    }
    return folder
  },

  write(folder: string, path: string, text: string): void {
    writeFileSync(join(folder, path), text)
  },

  async environments(): Promise<Environment[]> {
    return this.call('GET', '/v1/environments')
  },

  async environment(name: string): Promise<Environment> {
    return this.call('GET', `/v1/environments/${encodeURIComponent(name)}`)
  },

  /** Asks for a folder's environment and waits until it runs. */
  async up(folder: string): Promise<Environment> {
    const asked = await this.call<Environment>('POST', '/v1/environments', { folder })
    await expect(async () => {
      const environment = await this.environment(asked.id)
      expect(environment.status.problem ?? null).toBeNull()
      expect(environment.status.phase).toBe('running')
    }).toPass({ timeout: 90_000 })
    return this.environment(asked.id)
  },

  /** Removes every environment, and waits until they are gone. */
  async clear(): Promise<void> {
    for (const { id } of await this.environments()) await this.call('DELETE', `/v1/environments/${id}?force=true`)
    await expect(async () => expect(await this.environments()).toHaveLength(0)).toPass({ timeout: 90_000 })
  },

  /** Ends the daemon as a crash would. */
  kill(): void {
    const pid = Number(readFileSync(join(variable('COVE_HOME'), 'coved.lock'), 'utf8').trim())
    process.kill(pid, 'SIGKILL')
  },
}

/** Cases with a page that has a session. What the page itself complains of fails them. */
export const test = base.extend<{ cove: Page }>({
  cove: async ({ page }, use) => {
    world.cove('ls')
    const complaints: string[] = []
    page.on('pageerror', (error) => complaints.push(String(error)))
    page.on('console', (message) => {
      // What the daemon refuses, or that it is away, is logged by the browser itself.
      if (message.type() === 'error' && !/Failed to load resource|WebSocket connection|net::ERR/.test(message.text())) complaints.push(message.text())
    })
    // Who is new is shown how to begin; that has cases of its own.
    await page.addInitScript(() => localStorage.setItem('cove.first-run', '{"over":true}'))
    await open(page)
    await use(page)
    expect(complaints).toEqual([])
  },
})

/** Lets a page in, as `cove ui` does. */
export async function open(page: Page, hash = ''): Promise<void> {
  const { url, token } = await world.call<{ url: string; token: string }>('POST', '/v1/page', { for: 'browser' })
  await page.goto(`${url}/#token=${token}`)
  await expect(page.getByRole('navigation', { name: 'Main' })).toBeAttached()
  if (hash) await page.goto(`${url}/${hash}`)
}

/** Shows a screen, as its address does. */
export async function show(page: Page, hash: string): Promise<void> {
  await page.evaluate((hash) => (location.hash = hash), hash)
}

export { accessible, expect, fits }
