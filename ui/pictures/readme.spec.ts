// The pictures in README.md and docs/. What they show is made up, and their captions say so.
import { test, type Page } from '@playwright/test'
import { madeUp } from '../tests/made-up'
import { world } from '../tests/world'

const PICTURES: { name: string; hash: string; theme: 'light' | 'dark'; ready: (page: Page) => Promise<void> }[] = [
  { name: 'environments', hash: '#/environments', theme: 'light', ready: (page) => page.getByText('pipeline').first().waitFor() },
  { name: 'environment', hash: '#/environments/shop', theme: 'dark', ready: (page) => page.getByRole('heading', { name: 'shop', level: 1 }).waitFor() },
  { name: 'automations', hash: '#/environments/shop/automations', theme: 'light', ready: (page) => page.getByText('Mail worker').first().waitFor() },
  { name: 'machine', hash: '#/machine', theme: 'dark', ready: (page) => page.getByRole('heading', { level: 1 }).waitFor() },
]

for (const { name, hash, theme, ready } of PICTURES) {
  test(name, async ({ page }) => {
    world.cove('ls')
    const { url } = await world.call<{ url: string }>('POST', '/v1/page', { for: 'browser' })
    await page.emulateMedia({ colorScheme: theme, reducedMotion: 'reduce' })
    await page.setViewportSize({ width: 1120, height: 720 })
    await madeUp(page)
    await page.goto(`${url}/${hash}`)
    await ready(page)
    await page.waitForTimeout(500)
    await page.screenshot({ path: `../docs/images/page-${name}.png` })
  })
}
