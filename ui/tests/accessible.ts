import { expect, type Page } from '@playwright/test'
import axe from 'axe-core'

/** What keeps a page from being used by everybody, as axe finds it. */
export async function accessible(page: Page): Promise<void> {
  // Once for a page, and not by an element of it, which the page's own rules would refuse.
  if (!(await page.evaluate(() => 'axe' in window))) await page.evaluate(axe.source)
  const found = await page.evaluate(() => (window as unknown as { axe: typeof axe }).axe.run({ resultTypes: ['violations'] }))
  const said = found.violations.map(({ id, nodes }) => `${id}: ${nodes.map((node) => node.html).join(' | ')}`)
  expect(said).toEqual([])
}
