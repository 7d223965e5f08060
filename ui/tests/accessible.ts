import { expect, type Locator, type Page } from '@playwright/test'
import axe from 'axe-core'

/** What keeps a page from being used by everybody, as axe finds it. */
export async function accessible(page: Page): Promise<void> {
  // Once for a page, and not by an element of it, which the page's own rules would refuse.
  if (!(await page.evaluate(() => 'axe' in window))) await page.evaluate(axe.source)
  const found = await page.evaluate(() => (window as unknown as { axe: typeof axe }).axe.run({ resultTypes: ['violations'] }))
  const said = found.violations.map(({ id, nodes }) => `${id}: ${nodes.map((node) => node.html).join(' | ')}`)
  expect(said).toEqual([])
}

/** That nothing in it is wider than it is, once it has taken its size: that comes with the next picture that is drawn. */
export async function fits(place: Locator, where = 'it'): Promise<void> {
  const over = (): Promise<number> => place.evaluate((element) => element.scrollWidth - element.clientWidth)
  await expect.poll(over, { message: `${where} fits` }).toBeLessThanOrEqual(0)
}
