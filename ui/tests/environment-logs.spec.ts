// Logs: of any length, with anything in them.
import type { Page } from '@playwright/test'
import { accessible, expect, test, world } from './world'

/** Brings an environment up and opens its log. Gives what writes into it, as the container's own process would. */
async function opened(cove: Page): Promise<(script: string) => void> {
  const environment = await world.up(world.project('web'))
  const id = environment.status.container?.id ?? ''
  await cove.getByRole('link', { name: 'web', exact: true }).click()
  await cove.getByRole('navigation', { name: 'web' }).getByRole('link', { name: 'Logs' }).click()
  return (script) => world.docker('exec', '--detach', id, 'sh', '-c', `{ ${script}; } > /proc/1/fd/1`)
}

test.afterEach(() => world.clear())

test('markup in a log is text, colours are colours, and what is written is followed', async ({ cove }) => {
  const write = await opened(cove)
  write(String.raw`printf '<img src=x onerror="window.ran=1"> \033[31mred\033[0m \033]0;title\007end\n'`)
  const log = cove.getByRole('log')
  await expect(log.getByText('<img src=x onerror="window.ran=1"> red end')).toBeVisible()
  await expect(log.locator('.fg-1')).toHaveText('red')
  expect(await cove.evaluate(() => 'ran' in window)).toBe(false)
  write('echo later')
  await expect(log.getByText('later')).toBeVisible()
  await accessible(cove)
})

test('a line without an end is cut, and the page says so', async ({ cove }) => {
  const write = await opened(cove)
  write("head -c 500000000 /dev/zero | tr '\\0' x; echo; echo after")
  await expect(cove.getByText('… the rest of this line is left out')).toBeAttached()
  // The page goes on meanwhile.
  await cove.getByRole('link', { name: 'Overview' }).click()
  await expect(cove.getByText('ssh web.cove')).toBeVisible()
})

test('a million lines come, are searched and scrolled, and frames go on', async ({ cove }) => {
  test.setTimeout(240_000)
  await world.up(world.project('web'))
  // Made up here: an engine takes minutes for them where everything is built for debugging, and it is the page that is looked at.
  const line = (number: number): string => `{"stream":"output","line":"line ${number}"}`
  const body = Buffer.from(Array.from({ length: 1_000_000 }, (_, index) => line(index + 1)).join('\n') + '\n')
  await cove.route('**/logs?**', (route) => route.fulfill({ contentType: 'application/x-ndjson', body }))
  await cove.getByRole('link', { name: 'web', exact: true }).click()
  await cove.evaluate(() => {
    const gaps: number[] = []
    let last = performance.now()
    const frame = (now: number): void => {
      gaps.push(now - last)
      last = now
      requestAnimationFrame(frame)
    }
    requestAnimationFrame(frame)
    Object.assign(window, { gaps })
  })
  await cove.getByRole('navigation', { name: 'web' }).getByRole('link', { name: 'Logs' }).click()
  const log = cove.getByRole('log')
  await expect(log.getByText('line 1000000', { exact: true })).toBeVisible({ timeout: 120_000 })
  await expect(cove.getByText('1,000,000 lines')).toBeVisible()
  await log.evaluate(async (view) => {
    for (let step = 0; step < 60; step += 1) {
      view.scrollTop = (view.scrollHeight * (59 - step)) / 60
      await new Promise(requestAnimationFrame)
    }
  })
  await expect(log.getByText('line 3', { exact: true })).toBeVisible()
  const search = cove.getByRole('searchbox', { name: 'Search in the log' })
  await search.fill('line 765432')
  await search.press('Enter')
  await expect(log.locator('.here')).toHaveText('line 765432')
  const gaps = await cove.evaluate(() => (window as unknown as { gaps: number[] }).gaps.toSorted((a, b) => a - b))
  const [median, worst] = [gaps[gaps.length >> 1] ?? 0, gaps[Math.floor(gaps.length * 0.99)] ?? 0]
  process.stdout.write(`a million lines: ${gaps.length} frames, median ${median.toFixed(1)} ms, 99 % ${worst.toFixed(1)} ms\n`)
  // A computer that builds meanwhile is slow; one that holds a page for half a second is not.
  expect(median).toBeLessThan(100)
  expect(worst).toBeLessThan(1000)
})
