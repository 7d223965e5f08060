// How the main screens look, held against pictures, and whether everybody can use them, at every width and in both themes.
import { test } from '@playwright/test'
import { madeUp } from './made-up'
import { accessible, expect, fits, world } from './world'

const SCREENS = ['environments', 'environments/shop', 'environments/shop/automations', 'environments/shop/ports', 'docker', 'machine', 'activity', 'settings', 'settings/machine', 'settings/network', 'settings/environments', 'settings/secrets', 'diagnostics', 'open', 'welcome']

let url = ''

test.beforeAll(async () => {
  world.cove('ls')
  url = (await world.call<{ url: string }>('POST', '/v1/page', { for: 'browser' })).url
})

for (const screen of SCREENS) {
  for (const theme of ['light', 'dark'] as const) {
    test(`${screen}, ${theme}`, async ({ page }) => {
      await page.emulateMedia({ colorScheme: theme, reducedMotion: 'reduce' })
      await madeUp(page)
      await page.goto(`${url}/#/${screen}`)
      await expect(page.getByRole('heading', { level: 1 })).toBeVisible()
      await page.evaluate(() => document.fonts.ready)
      await expect(page).toHaveScreenshot(`${screen.replaceAll('/', '-')}-${theme}.png`)
      await accessible(page)
      for (const width of [320, 900]) {
        await page.setViewportSize({ width, height: 800 })
        await fits(page.locator('html'), `${screen} at ${width} px`)
      }
    })
  }
}
