// The picture of the console in docs/. What runners told in it is made up, and its caption says so.
import { test } from '@playwright/test'
import { declare, reported } from '../tests/control/made-up'
import { link } from '../tests/control/world'

test('console', async ({ page }) => {
  declare()
  await page.emulateMedia({ colorScheme: 'light', reducedMotion: 'reduce' })
  await page.setViewportSize({ width: 1120, height: 720 })
  await reported(page)
  await page.goto(link('ann'))
  await page.getByText('shop-ann').first().waitFor()
  await page.screenshot({ path: '../docs/images/console.png' })
})
