// The server behind the console, from the other side: its own command line.
import { expect, test as base, type Page } from '@playwright/test'
import { execFileSync } from 'node:child_process'

function variable(name: string): string {
  const value = process.env[name]
  if (!value) throw new Error(`${name} is not set: run this by \`cargo test -p control-plane --test server console\``)
  return value
}

/** Runs `cove-control` on the server's own computer; what it said. */
export function control(args: string[], input = ''): string {
  return execFileSync(variable('COVE_CONTROL'), args, { encoding: 'utf8', input, stdio: ['pipe', 'pipe', 'pipe'] })
}

/** Declares something. */
export function apply(...resources: object[]): void {
  for (const resource of resources) control(['apply', '-f', '-'], JSON.stringify(resource))
}

/** A link that lets a browser in once, as somebody. */
export function link(user: string): string {
  const url = /https:\S+/.exec(control(['console', '--user', user]))?.[0]
  if (!url) throw new Error('`cove-control console` prints a link')
  return url
}

/** A browser that somebody is signed in with. */
export async function enter(page: Page, user: string): Promise<void> {
  await page.goto(link(user))
  await expect(page.getByRole('heading', { level: 1, name: 'Environments' })).toBeVisible()
}

/** Shows a screen, as its address does. */
export async function show(page: Page, hash: string): Promise<void> {
  await page.evaluate((hash) => (location.hash = hash), hash)
}

/** Fails where something is wider than its place, so that a part of it is cut off or has to be scrolled to. */
export async function fits(page: Page, width: number, what: string): Promise<void> {
  await page.setViewportSize({ width, height: 800 })
  const wide = () => page.evaluate(() => [...document.querySelectorAll('html, main, .card, dialog')].filter((one) => one.scrollWidth > one.clientWidth).map((one) => `${one.tagName} ${one.className}`))
  await expect.poll(wide, { message: `${what} is no wider than ${width} px` }).toEqual([])
}

/** What the page itself complains of, or loads from elsewhere, fails a case. */
export const test = base.extend<{ quiet: undefined }>({
  quiet: [
    async ({ page }, use) => {
      const complaints: string[] = []
      page.on('pageerror', (error) => complaints.push(String(error)))
      page.on('console', (message) => {
        if (message.type() === 'error' && !/Failed to load resource|net::ERR/.test(message.text())) complaints.push(message.text())
      })
      await use(undefined)
      expect(complaints).toEqual([])
    },
    { auto: true },
  ],
})

export { expect }
