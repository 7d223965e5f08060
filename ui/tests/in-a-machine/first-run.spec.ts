// Who is new, on a machine that really boots: nothing of what the page leads to is made up.
import { test } from '@playwright/test'
import { expect, open, show, world } from '../world'

test('who is new is led to an example that answers, and finds its terminal, its volume and its end', async ({ page }) => {
  const at = { timeout: 300_000 }
  // Starts the daemon, as everything of Cove does where there is none.
  world.cove('ls')
  await open(page)
  await expect(page.getByRole('heading', { level: 1, name: 'Welcome to Cove' })).toBeVisible()
  await page.getByRole('button', { name: 'Continue' }).click()
  await page.getByRole('button', { name: 'Continue' }).click()
  await page.getByRole('button', { name: 'Start the example' }).click()
  await expect(page.getByRole('heading', { level: 2, name: 'It runs' })).toBeVisible(at)
  // The task ran, then the service that depends on it; only then is there something to open.
  await expect(page.getByText('The page is there as soon as its server listens.')).toHaveCount(0, at)
  const example = await page.context().newPage()
  await example.goto((await page.getByRole('link', { name: 'Open the page' }).getAttribute('href')) ?? '', at)
  await expect(example.getByText('Hello from a container')).toBeVisible(at)
  await example.close()

  await page.getByRole('button', { name: 'A terminal in it' }).click()
  const terminal = page.getByRole('group', { name: 'Terminal' })
  await expect(terminal.locator('.xterm-rows')).toContainText('$', at)
  await terminal.locator('textarea').focus()
  await page.keyboard.type('echo "$(id -un) sees $((40 + 2))"\n')
  await expect(terminal.locator('.xterm-rows')).toContainText('vscode sees 42', at)

  // The engine's own things, where the engine is not on this computer.
  world.docker('run', '--rm', '-v', 'seen:/v', 'cove/base:trixie', 'sh', '-c', `mkdir '/v/a b' && printf 12345 > '/v/a b/<b>bold'`)
  await show(page, '#/docker/volumes/seen')
  await page.getByRole('link', { name: 'Open the folder a b' }).click(at)
  await expect(page.getByRole('row').filter({ hasText: '<b>bold' }).getByText('5 B')).toBeVisible(at)
  world.docker('volume', 'rm', 'seen')

  await show(page, '#/environments/hello')
  await page.getByRole('button', { name: 'Stop', exact: true }).click()
  await expect(page.getByText('Stopped', { exact: true }).first()).toBeVisible(at)
  await world.clear()
})
