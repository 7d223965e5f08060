// Opening: what is shown before anything happens, what is asked, and how it comes up.
import { execFileSync } from 'node:child_process'
import { accessible, config, expect, open, test, world } from './world'

const address = (query: Record<string, string>): string => `#/open?${new URLSearchParams(query)}`

test.describe('open', () => {
  test.beforeAll(() => void world.cove('ls'))
  test.afterEach(() => world.clear())

  test('a folder shows what will happen, comes up, and tells how', async ({ page }) => {
    const folder = world.project('opened', config({ postCreateCommand: 'echo first line; echo second line' }))
    await open(page, '#/open')
    await page.getByLabel('Path of the folder').fill(folder)
    await page.getByRole('button', { name: 'Show what it needs' }).click()
    await expect(page.getByRole('heading', { level: 1, name: 'opened' })).toBeVisible()
    await expect(page.getByText('.devcontainer.json', { exact: true })).toBeVisible()
    await expect(page.getByText('Running postCreateCommand')).toBeVisible()
    await accessible(page)
    expect(await world.environments()).toHaveLength(0)
    await page.getByRole('textbox', { name: 'Name' }).fill('first')
    await page.getByRole('button', { name: 'Start' }).click()
    await expect(page.getByText('first is running')).toBeVisible({ timeout: 90_000 })
    await expect(page.getByRole('button', { name: 'Copy “cove open first”' })).toBeVisible()
    const steps = page.getByRole('region', { name: 'Steps' })
    const hook = steps.getByRole('listitem').filter({ hasText: 'Running postCreateCommand' })
    await hook.getByRole('button', { name: 'Show the log' }).click()
    await expect(hook.getByRole('log').getByText('second line')).toBeVisible()
    await accessible(page)
    await page.getByRole('link', { name: 'Show the environment' }).click()
    await expect(page).toHaveURL(/#\/environments\/first/)
    // Again: it is there, and nothing is left to do.
    await page.goto(`${new URL(page.url()).origin}/${address({ folder })}`)
    await expect(page.getByText('first, which is there already')).toBeVisible()
  })

  test('what it wants of this computer is asked, and no is the answer until a person says yes', async ({ page }) => {
    const folder = world.project('wanting', config({ initializeCommand: 'touch ran-here' }))
    const ran = (): boolean => execFileSync('ls', [folder], { encoding: 'utf8' }).includes('ran-here')
    await open(page, address({ folder }))
    const question = page.getByRole('region', { name: 'What it wants of this computer' })
    await expect(question.getByText('touch ran-here')).toBeVisible()
    await expect(question.getByRole('switch', { name: 'Allow' })).not.toBeChecked()
    await accessible(page)
    await page.getByRole('button', { name: 'Start' }).click()
    await expect(page.getByText('wanting is running')).toBeVisible({ timeout: 90_000 })
    expect(ran()).toBe(false)
    await page.goto(`${new URL(page.url()).origin}/${address({ folder })}`)
    await question.getByRole('switch', { name: 'Allow' }).click()
    await page.getByRole('button', { name: 'Start' }).click()
    await expect.poll(ran, { timeout: 60_000 }).toBe(true)
  })

  test('an environment that waits for an answer is answered, and goes on', async ({ page }) => {
    const folder = world.project('waiting', config({ initializeCommand: 'touch ran-here' }))
    const { id } = await world.call<{ id: string }>('POST', '/v1/environments', { folder, unasked: 'wait' })
    await open(page, `#/open/${id}`)
    await expect(page.getByText('waiting waits for your answer')).toBeVisible()
    await page.getByRole('switch', { name: 'Allow' }).click()
    await page.getByRole('button', { name: 'Go on' }).click()
    await expect(page.getByText('waiting is running')).toBeVisible({ timeout: 90_000 })
    expect(execFileSync('ls', [folder], { encoding: 'utf8' })).toContain('ran-here')
  })

  test('a mistake is told with its place, and read again once it is mended', async ({ page }) => {
    const folder = world.project('mistaken')
    world.write(folder, '.devcontainer.json', '{\n  "image": 7\n}\n')
    await open(page, address({ folder }))
    await expect(page.getByText(`${folder}/.devcontainer.json:2:`).first()).toBeVisible()
    await expect(page.getByRole('button', { name: 'Start' })).toHaveCount(0)
    await accessible(page)
    world.write(folder, '.devcontainer.json', JSON.stringify(config()))
    await page.getByRole('button', { name: 'Try again' }).click()
    await expect(page.getByRole('button', { name: 'Start' })).toBeVisible()
  })

  test('a hook that fails is told with its log, and tried again', async ({ page }) => {
    const folder = world.project('failing', config({ postCreateCommand: 'echo before the end; test -e mended' }))
    await open(page, address({ folder }))
    await page.getByRole('button', { name: 'Start' }).click()
    await expect(page.getByText('failing did not come up')).toBeVisible({ timeout: 90_000 })
    await expect(page.getByRole('alert').getByText('before the end').first()).toBeAttached()
    world.write(folder, 'mended', '')
    await page.getByRole('button', { name: 'Try again' }).click()
    await expect(page.getByText('failing is running')).toBeVisible({ timeout: 90_000 })
  })

  test('a link shows what it would do, and starts nothing without a press', async ({ page }) => {
    const folder = world.project('linked', config({ initializeCommand: 'touch ran-here' }))
    await open(page, address({ folder, by: 'link' }))
    await expect(page.getByText('A link asked for this. Nothing starts until you press Start.')).toBeVisible()
    await expect(page.getByRole('button', { name: 'Start' })).toBeVisible()
    await page.goto(`${new URL(page.url()).origin}/${address({ repository: 'https://git.example/team/web.git', branch: 'v1', by: 'link' })}`)
    await expect(page.getByText('This computer’s git fetches https://git.example/team/web.git')).toBeVisible()
    await expect(page.getByText('Git uses no credentials of yours')).toBeVisible()
    await expect(page.getByRole('switch', { name: 'Let git use this computer’s credentials' })).not.toBeChecked()
    await accessible(page)
    expect(await world.environments()).toHaveLength(0)
  })

  test('a repository is cloned into the machine and comes up', async ({ page }) => {
    const folder = world.project('cloned')
    const git = (...args: string[]): string =>
      execFileSync('git', ['-C', folder, '-c', 'user.name=Ada', '-c', 'user.email=ada@cove.example', ...args], { encoding: 'utf8' })
    git('init', '-q', '-b', 'main')
    git('add', '-A')
    git('commit', '-qm', 'one')
    await open(page, '#/open')
    await page.getByLabel('URL').fill(`file://${folder}`)
    await page.getByRole('button', { name: 'Show what will happen' }).click()
    await page.getByRole('button', { name: 'Start' }).click()
    await expect(page.getByText('cloned is running')).toBeVisible({ timeout: 90_000 })
    await expect(page.getByRole('listitem').filter({ hasText: 'Cloning the repository' })).toBeVisible()
  })

  test('what is no repository is refused with the reason', async ({ page }) => {
    await open(page, address({ repository: 'ext::sh -c evil' }))
    await page.getByRole('button', { name: 'Start' }).click()
    await expect(page.getByRole('alert').getByText('is no repository to clone')).toBeVisible()
    expect(await world.environments()).toHaveLength(0)
  })

  test('markup in names and texts is shown as it is', async ({ page }) => {
    const evil = '<img src=x onerror=document.title=1>'
    const folder = world.project('marked', config({ initializeCommand: `echo '${evil}'`, postCreateCommand: `echo '${evil}'` }))
    await open(page, address({ folder }))
    await expect(page.getByRole('region', { name: 'What it wants of this computer' }).getByText(evil)).toBeVisible()
    await page.getByRole('button', { name: 'Start' }).click()
    await expect(page.getByText('marked is running')).toBeVisible({ timeout: 90_000 })
    const hook = page.getByRole('listitem').filter({ hasText: 'Running postCreateCommand' })
    await hook.getByRole('button', { name: 'Show the log' }).click()
    await expect(hook.getByRole('log').getByText(evil)).toBeVisible()
    await expect(page.locator('img[src="x"]')).toHaveCount(0)
    // A folder that is not there, with a name like that.
    await page.goto(`${new URL(page.url()).origin}/${address({ folder: `/nowhere/${evil}` })}`)
    await expect(page.getByRole('alert')).toBeVisible()
    await expect(page.locator('img[src="x"]')).toHaveCount(0)
  })
})
