import { existsSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { accessible, expect, IMAGE, open, show, test as cases, world } from './world'
import { test } from '@playwright/test'

const FOLDER = join(process.env['COVE_TEST_SOURCES'] ?? '', 'Cove/hello')

/** The image that the machine brings; here it has what the example needs. */
const BASE = 'cove/base:trixie'

test.describe('the first run', () => {
  test.beforeAll(() => {
    world.docker('tag', IMAGE, BASE)
  })

  test.beforeEach(async () => {
    world.cove('ls')
    await world.clear()
    rmSync(FOLDER, { recursive: true, force: true })
  })

  test.afterEach(() => world.clear())

  test('three steps lead to an example that runs, and nothing starts before a click', async ({ page }) => {
    await open(page)
    await expect(page.getByRole('heading', { level: 1, name: 'Welcome to Cove' })).toBeVisible()
    await expect(page.getByText(/^All \d+ checks$/)).toBeVisible()
    await accessible(page)
    await page.getByRole('button', { name: 'Continue' }).click()
    await expect(page.getByRole('slider', { name: 'Processors' })).toBeVisible()
    await accessible(page)
    await page.getByRole('button', { name: 'Continue' }).click()
    await expect(page.getByLabel('Put it into')).toHaveValue(FOLDER)
    await accessible(page)
    expect(await world.environments()).toEqual([])
    expect(existsSync(FOLDER)).toBe(false)

    await page.getByRole('button', { name: 'Start the example' }).click()
    await expect(page.getByText('Creating the container')).toBeVisible()
    // Closed in the middle, it goes on where it was.
    await page.reload()
    await expect(page.getByRole('heading', { level: 2, name: 'It runs' })).toBeVisible({ timeout: 90_000 })
    await expect(page.getByText('The page', { exact: true }).or(page.getByText('page', { exact: true })).first()).toBeVisible()
    const link = page.getByRole('link', { name: 'Open the page' })
    await expect(link).toBeVisible({ timeout: 90_000 })
    // The made-up guest brings no supervisor and no way to the port: what the service would run is run and asked inside.
    const container = (await world.environments())[0]?.status.container
    const name = container?.name ?? ''
    world.docker('exec', '--detach', '--user', 'root', '--workdir', container?.workspace_folder ?? '', name, 'sh', '-c', 'sh scripts/facts.sh && exec sh scripts/serve.sh')
    await expect(() => expect(world.docker('exec', name, 'wget', '-q', '-O', '-', 'http://127.0.0.1:8642/')).toContain('Hello from a container')).toPass({ timeout: 30_000 })
    await page.getByRole('button', { name: 'A terminal in it' }).click()
    await expect(page.getByRole('group', { name: 'Terminal' })).toBeVisible()
    await accessible(page)
    await page.getByRole('button', { name: 'Open a folder' }).click()
    await expect(page.getByRole('heading', { level: 1, name: 'Open' })).toBeVisible()
  })

  test('a folder with something else in it is refused, and another does', async ({ page }) => {
    world.project('Cove/hello')
    await open(page)
    await page.getByRole('button', { name: /An example/ }).click()
    await page.getByRole('button', { name: 'Start the example' }).click()
    await expect(page.getByRole('alert')).toContainText('has something else in it')
    await page.getByLabel('Put it into').fill('/etc/hello')
    await page.getByRole('button', { name: 'Start the example' }).click()
    await expect(page.getByRole('alert')).toContainText('cannot see the folder')
    expect(await world.environments()).toEqual([])
  })

  test('who skips it is not asked again, and can come back', async ({ page }) => {
    await open(page)
    await page.getByRole('button', { name: 'Skip the introduction' }).click()
    await expect(page.getByRole('heading', { level: 1, name: 'Environments' })).toBeVisible()
    await open(page)
    await page.reload()
    await expect(page.getByRole('heading', { level: 1, name: 'Environments' })).toBeVisible()
    await page.keyboard.press('Control+k')
    await page.keyboard.type('introduction')
    await page.keyboard.press('Enter')
    await expect(page.getByRole('heading', { level: 1, name: 'Welcome to Cove' })).toBeVisible()
  })
})

cases('who asks for a screen gets it, new or not', async ({ cove }) => {
  await show(cove, '#/machine')
  await expect(cove.getByRole('heading', { level: 1, name: 'Machine' })).toBeVisible()
})
