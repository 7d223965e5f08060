import type { Machine } from '../src/api/types'
import { accessible, expect, fits, open, test, world } from './world'

const machine = (): Promise<Machine> => world.call('GET', '/v1/machines/default')

async function until(phase: Machine['status']['phase']): Promise<void> {
  await expect(async () => expect((await machine()).status.phase).toBe(phase)).toPass({ timeout: 60_000 })
}

test.describe('the machine', () => {
  test.beforeEach(async () => {
    world.cove('machine', 'start')
    await until('running')
  })

  test('shows how busy it is, in lines and in words, and gives back what it does not need', async ({ cove }) => {
    await open(cove, '#/machine')
    const graphs = cove.getByRole('region', { name: 'The last ten minutes' })
    await expect(graphs.getByRole('figure')).toHaveCount(4)
    await expect(graphs.getByRole('figure', { name: 'Processors (2)' })).toContainText(/Busy: now \d/)
    await expect(graphs.getByRole('figure', { name: 'Network' })).toContainText(/Received: now [\d.]+ .B\/s/)
    await expect(graphs.locator('canvas')).toHaveCount(4)
    const given = cove.getByRole('region', { name: 'What this computer gives' })
    await expect(given.getByRole('meter', { name: 'Memory' })).toHaveAttribute('aria-valuetext', /now; the machine may have 4 GiB/)
    await given.getByRole('button', { name: 'Give back to this computer' }).click()
    await expect(given.getByRole('status')).toContainText('In the machine, 96 MiB of page cache was let go.')
    await expect(given.getByRole('status')).toContainText('the driver `fake` cannot take memory back')
    await accessible(cove)
  })

  test('is paused, goes on, stops with a question, and starts again', async ({ cove }) => {
    await open(cove, '#/machine')
    await cove.getByRole('button', { name: 'Pause' }).click()
    await expect(cove.getByRole('heading', { name: 'The machine is paused' })).toBeVisible()
    await accessible(cove)
    await cove.getByRole('button', { name: 'Resume' }).click()
    await expect(cove.getByText('Running', { exact: true })).toBeVisible()
    await until('running')
    await cove.getByRole('button', { name: 'Stop', exact: true }).click()
    const question = cove.getByRole('dialog', { name: 'Stop the machine?' })
    await expect(question).toContainText('Every container ends.')
    await question.getByRole('button', { name: 'Stop' }).click()
    await expect(cove.getByRole('heading', { name: 'The machine is off' })).toBeVisible()
    await accessible(cove)
    await cove.getByRole('button', { name: 'Start', exact: true }).click()
    await until('running')
    await expect(cove.getByRole('region', { name: 'The last ten minutes' })).toBeVisible()
  })

  test('says before it is saved what takes a restart, and what cannot be', async ({ cove }) => {
    await open(cove, '#/machine/settings')
    const before = await machine()
    const most = before.status.host?.processors ?? 1
    const cpus = cove.getByLabel('Processors', { exact: true })
    await cpus.fill(String(most + 1))
    await expect(cove.getByText(`This computer has only ${most}.`)).toBeVisible()
    await expect(cove.getByRole('button', { name: 'Save' })).toBeDisabled()
    await cpus.fill(String(before.spec.cpus))
    const disk = cove.getByLabel('Disk, in GiB')
    await disk.fill(String(before.spec.disk_gib - 1))
    await expect(cove.getByText('It cannot shrink below')).toBeVisible()
    await disk.fill(String(before.spec.disk_gib + 1))
    await expect(cove.getByText('Changed when the machine restarts: disk.')).toBeVisible()
    await accessible(cove)
    await cove.getByRole('button', { name: 'Save' }).click()
    await expect(cove.getByText('Saved', { exact: true })).toBeVisible()
    expect((await machine()).spec.disk_gib).toBe(before.spec.disk_gib + 1)
    await cove.getByRole('switch', { name: 'Trust the network of this computer' }).click()
    await expect(cove.getByText('Changed at once.')).toBeVisible()
    await cove.getByRole('button', { name: 'Undo changes' }).click()
    await cove.getByLabel('Path of a folder').fill('not/absolute')
    await cove.getByRole('button', { name: 'Add' }).click()
    await expect(cove.getByText('A path from the root on')).toBeVisible()
  })

  test('shows its parts and its log, and a death with what to do', async ({ cove }) => {
    await open(cove, '#/machine/parts')
    await expect(cove.getByRole('row', { name: /dockerd Ready/ })).toBeVisible()
    await accessible(cove)
    await open(cove, '#/machine/log')
    await expect(cove.getByRole('log')).toContainText('a fake guest')
    await accessible(cove)
    await cove.route('**/v1/machines/default', async (route) => {
      const answer = await route.fetch()
      const dead = (await answer.json()) as Machine
      dead.status.phase = 'stopped'
      dead.status.problem = { code: 'E0308', title: 'the machine ended unexpectedly', log_tail: ['<img src=x onerror=alert(1)>'] } as Machine['status']['problem']
      await route.fulfill({ json: dead })
    })
    await open(cove, '#/machine')
    await cove.reload()
    await expect(cove.getByText('the machine ended unexpectedly')).toBeVisible()
    await expect(cove.getByRole('button', { name: 'Start it again' })).toBeEnabled()
    await cove.getByText('The last it said').click()
    await expect(cove.getByText('<img src=x onerror=alert(1)>')).toBeVisible()
    await accessible(cove)
    await cove.getByRole('link', { name: 'Show its log' }).click()
    await expect(cove.getByRole('log')).toBeVisible()
    await cove.unrouteAll({ behavior: 'ignoreErrors' })
  })

  test('fits a narrow window', async ({ cove }) => {
    await cove.setViewportSize({ width: 320, height: 640 })
    for (const part of ['', '/parts', '/settings', '/log']) {
      await cove.evaluate((hash) => (location.hash = hash), `#/machine${part}`)
      await expect(cove.getByRole('heading', { level: 1, name: 'Machine' })).toBeVisible()
      await fits(cove.locator('main'), part)
    }
  })
})
