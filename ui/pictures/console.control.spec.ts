// The picture of the console in docs/. What its runner told is made up by the test that plays it, and its caption says so.
import { test } from '@playwright/test'
import { declare } from '../tests/control/made-up'
import { link, show } from '../tests/control/world'

test('console', async ({ page }) => {
  declare()
  await page.emulateMedia({ colorScheme: 'light', reducedMotion: 'reduce' })
  await page.setViewportSize({ width: 1120, height: 720 })
  await page.goto(link('ann'))
  await page.getByText('till').first().waitFor()
  await show(page, '#/environments/till')
  await page.getByText('Tasks and services').waitFor()
  await page.screenshot({ path: '../docs/images/console.png' })
})
