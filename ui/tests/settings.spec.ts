import { mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { accessible, expect, fits, show, test, world } from './world'

const TABS = ['general', 'machine', 'network', 'environments', 'secrets']
const CONFIG = join(process.env['COVE_HOME'] ?? '', 'config.toml')
const SOURCES = process.env['COVE_TEST_SOURCES'] ?? ''

/** What the file says in the beginning; each case ends with it. */
const BEGINNING = readFileSync(CONFIG, 'utf8')
const MINE = `# mine\n${BEGINNING}\n[machine]   # the one\ncpus = 1 # one is enough\n`

function config(): string {
  return readFileSync(CONFIG, 'utf8')
}

test.describe('settings', () => {
  test.beforeEach(() => writeFileSync(CONFIG, MINE))

  test.afterEach(async () => {
    writeFileSync(CONFIG, BEGINNING)
    await world.call('PATCH', '/v1/settings', { set: { 'machine.idle': null, 'machine.cpus': null, shares: [SOURCES] } })
    writeFileSync(CONFIG, BEGINNING)
  })

  test('a change is saved at once, and the rest of the file stays the person’s', async ({ cove }) => {
    await show(cove, '#/settings/machine')
    const time = cove.getByLabel('Stop the machine after')
    await expect(time).toHaveValue('10m')
    await time.selectOption('1h')
    await expect(cove.getByRole('status').getByText('Saved', { exact: true })).toBeVisible()
    expect(config()).toBe(`${MINE}idle = "1h"\n`)
    expect(statSync(CONFIG).mode & 0o777).toBe(0o644)
    await cove.reload()
    await expect(time).toHaveValue('1h')
    await cove.getByRole('button', { name: 'Use the usual value for Stop the machine after' }).click()
    await expect(time).toHaveValue('10m')
    expect(config()).toBe(MINE)
  })

  test('a time of one’s own is read, and what is none is told at its place', async ({ cove }) => {
    await show(cove, '#/settings/machine')
    const time = cove.getByLabel('Stop the machine after')
    const other = cove.getByLabel('Time, such as')
    await time.selectOption('Another time…')
    await other.fill('soon')
    await other.press('Enter')
    await expect(cove.getByRole('alert')).toContainText('`soon` is no time')
    await expect(time).toHaveValue('10m')
    expect(config()).toBe(MINE)
    await time.selectOption('Another time…')
    await other.fill('45m')
    await other.press('Enter')
    await expect(time).toHaveValue('45m')
    await expect(cove.getByRole('alert')).toHaveCount(0)
  })

  test('a size moves by the keyboard within what this computer has', async ({ cove }) => {
    await show(cove, '#/settings/machine')
    const memory = cove.getByRole('slider', { name: 'Memory' })
    await memory.focus()
    const before = Number(await memory.inputValue())
    await cove.keyboard.press('ArrowLeft')
    await expect(cove.getByText('Saved. Holds from the machine’s next start.')).toBeVisible()
    expect(config()).toContain(`memory_mib = ${before - 512}\n`)
    const machine = await world.call<{ spec: { memory_mib: number } }>('GET', '/v1/machines/default')
    expect(machine.spec.memory_mib).toBe(before - 512)
    await cove.getByRole('button', { name: 'Use the usual value for Memory' }).click()
    await expect(memory).toHaveValue(String(before))
  })

  test('a file that is wrong is told with its place, and is left alone until it is mended', async ({ cove }) => {
    writeFileSync(CONFIG, `${MINE}  cpu = 2\n`)
    await show(cove, '#/settings/machine')
    await expect(cove.getByRole('alert')).toContainText('unknown field `cpu`')
    await expect(cove.getByRole('alert')).toContainText(`${CONFIG}:`)
    await expect(cove.getByLabel('Stop the machine after')).toBeDisabled()
    writeFileSync(CONFIG, MINE)
    await cove.getByRole('button', { name: 'Read again' }).click()
    await expect(cove.getByLabel('Stop the machine after')).toBeEnabled()
    await expect(cove.getByRole('alert')).toHaveCount(0)
  })

  test('what an editor saved meanwhile is not lost', async ({ cove }) => {
    await show(cove, '#/settings/machine')
    const time = cove.getByLabel('Stop the machine after')
    await expect(time).toHaveValue('10m')
    writeFileSync(CONFIG, `${MINE}idle = "8h"\n`)
    await time.selectOption('1h')
    await expect(cove.getByText('The file was changed by something else.')).toBeVisible()
    expect(config()).toBe(`${MINE}idle = "8h"\n`)
    await time.selectOption('2h')
    await expect(cove.getByRole('status').getByText('Saved', { exact: true })).toBeVisible()
    expect(config()).toBe(`${MINE}idle = "2h"\n`)
  })

  test('a folder is shared and shared no more; one that is not there is refused', async ({ cove }) => {
    const folder = join(SOURCES, '..', 'shared by hand')
    mkdirSync(folder, { recursive: true })
    await show(cove, '#/settings/machine')
    const path = cove.getByLabel('Path of the folder')
    await path.fill('/no/such/folder')
    await path.press('Enter')
    await expect(cove.getByRole('alert')).toContainText('there is no folder `/no/such/folder`')
    await path.fill(folder)
    await path.press('Enter')
    await expect(cove.getByRole('button', { name: `Stop sharing ${folder}` })).toBeVisible()
    await expect(cove.getByRole('alert')).toHaveCount(0)
    await cove.getByRole('button', { name: `Stop sharing ${folder}` }).click()
    await expect(cove.getByRole('button', { name: `Stop sharing ${folder}` })).toHaveCount(0)
    expect(config()).not.toContain('shared by hand')
    rmSync(folder, { recursive: true })
  })

  test('what waits for the daemon is told, with how to start it anew', async ({ cove }) => {
    await show(cove, '#/settings/network')
    await cove.getByLabel('Port for http', { exact: true }).fill('17080')
    await cove.keyboard.press('Tab')
    await expect(cove.getByText('Saved. Holds from the daemon’s next start.')).toBeVisible()
    await expect(cove.getByRole('button', { name: 'Copy “cove daemon stop”' })).toBeVisible()
    world.cove('daemon', 'stop')
    world.cove('ls')
    await expect(cove.getByRole('button', { name: 'Copy “cove daemon stop”' })).toHaveCount(0)
    await cove.getByRole('button', { name: 'Use the usual value for Port for http' }).click()
    await expect(cove.getByLabel('Port for http', { exact: true })).toHaveValue('7080')
    world.cove('daemon', 'stop')
    world.cove('ls')
  })

  test('dotfiles are saved together and taken back together', async ({ cove }) => {
    await show(cove, '#/settings/environments')
    await cove.getByLabel('Repository').fill('ada/dotfiles')
    await cove.getByLabel('Cloned to').fill('~/dots')
    await cove.getByRole('button', { name: 'Save dotfiles' }).click()
    await expect(cove.getByText('Saved', { exact: true })).toBeVisible()
    expect(config()).toContain('[dotfiles]\nrepository = "ada/dotfiles"\ntarget_path = "~/dots"\n')
    await cove.getByRole('button', { name: 'Use none' }).click()
    await expect(cove.getByLabel('Repository')).toHaveValue('')
    expect(config().trimEnd()).toBe(MINE.trimEnd())
  })

  test('the editor that is chosen is the one of the command line', async ({ cove }) => {
    await show(cove, '#/settings/general')
    await cove.getByLabel('Opens environments').selectOption('terminal')
    await expect(cove.getByText('A shell in the environment.')).toBeVisible()
    expect(readFileSync(join(process.env['COVE_HOME'] ?? '', 'editor'), 'utf8')).toBe('terminal\n')
    await cove.getByLabel('Opens environments').selectOption('')
    await expect(cove.getByText('A shell in the environment.')).toHaveCount(0)
  })

  test('a secret goes in, and its value never comes out', async ({ cove }) => {
    const answers: string[] = []
    cove.on('response', (response) => void response.text().then((text) => answers.push(text), () => undefined))
    await show(cove, '#/settings/secrets')
    await cove.getByRole('button', { name: 'Add a secret' }).click()
    await cove.getByLabel('Name').fill('COVE_TEST_TOKEN')
    await cove.getByLabel('Value').fill('hunter2-hunter2')
    await accessible(cove)
    await cove.getByRole('button', { name: 'Save' }).click()
    const row = cove.getByRole('row').filter({ hasText: 'COVE_TEST_TOKEN' })
    await expect(row).toContainText('All environments')
    await cove.reload()
    await expect(row).toBeVisible()
    await row.getByRole('button', { name: 'Remove COVE_TEST_TOKEN' }).click()
    await cove.getByRole('dialog').getByRole('button', { name: 'Remove' }).click()
    await expect(row).toHaveCount(0)
    expect(answers.join('\n')).not.toContain('hunter2')
  })

  test('theme and language change at once and stay', async ({ cove }) => {
    await show(cove, '#/settings/general')
    await cove.getByLabel('Theme').selectOption('dark')
    await expect(cove.locator('html')).toHaveAttribute('data-theme', 'dark')
    await cove.getByLabel('Language').selectOption('ko')
    await expect(cove.getByRole('heading', { level: 1, name: '설정' })).toBeVisible()
    await cove.reload()
    await expect(cove.locator('html')).toHaveAttribute('lang', 'ko')
    for (const tab of TABS) {
      await show(cove, `#/settings/${tab}`)
      await accessible(cove)
    }
    await cove.keyboard.press('Control+k')
    await cove.keyboard.type('English')
    await cove.keyboard.press('Enter')
    await expect(cove.getByRole('heading', { level: 1, name: 'Settings' })).toBeVisible()
  })

  test('every part can be used by everybody, at every width', async ({ cove }) => {
    for (const tab of TABS) {
      await show(cove, `#/settings/${tab}`)
      await expect(cove.getByRole('heading', { level: 2 }).first()).toBeVisible()
      for (const width of [320, 900, 1400]) {
        await cove.setViewportSize({ width, height: 800 })
        await accessible(cove)
        await fits(cove.locator('html'), `${tab} at ${width} px`)
      }
    }
  })
})
