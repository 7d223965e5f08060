// One environment: how it stands, what changed, what happened, and what a page does whose daemon dies.
import { accessible, config, expect, open, test, world } from './world'

test.afterEach(() => world.clear())

const TABS = ['Overview', 'Logs', 'Terminal', 'Ports', 'Automations', 'Plan', 'Events', 'Grants', 'Secrets']

test('everything about it can be seen, by everybody', async ({ cove }) => {
  const made = await world.up(world.project('web', config({ name: 'The shop', postCreateCommand: 'true' })))
  await cove.getByRole('link', { name: 'web', exact: true }).click()
  await expect(cove.getByText(made.status.container?.name ?? '?')).toBeVisible()
  await expect(cove.getByText('postCreateCommand')).toBeVisible()
  await expect(cove.getByText('ssh web.cove')).toBeVisible()
  for (const tab of TABS) {
    await cove.getByRole('navigation', { name: 'web' }).getByRole('link', { name: tab }).click()
    await expect(cove.getByRole('navigation', { name: 'web' }).locator('[aria-current]')).toHaveText(new RegExp(tab))
    if (tab === 'Terminal') await expect(cove.locator('.xterm-rows')).toContainText(/[#$]/)
    else await accessible(cove)
  }
  await expect(cove.getByRole('heading', { name: 'No secret counts for it' })).toBeVisible()
})

test('when it stops by itself is chosen here', async ({ cove }) => {
  await world.up(world.project('web'))
  await cove.getByRole('link', { name: 'web', exact: true }).click()
  await cove.getByRole('combobox', { name: 'Stop when nobody uses it' }).selectOption({ label: 'After 4 hours' })
  await expect(async () => expect((await world.environment('web')).spec.idle.stop_after).toBe(14_400)).toPass()
  await cove.getByRole('combobox', { name: 'Stop when nobody uses it' }).selectOption({ label: 'Never by itself' })
  await expect(async () => expect((await world.environment('web')).spec.idle.stop_after ?? null).toBeNull()).toPass()
})

test('what changed in its configuration is shown, and a rebuild says what it costs', async ({ cove }) => {
  const folder = world.project('web')
  const before = await world.up(folder)
  await cove.getByRole('link', { name: 'web', exact: true }).click()
  await cove.getByRole('link', { name: 'Plan' }).click()
  await expect(cove.getByText('Nothing is left to do.')).toBeVisible()
  world.write(folder, '.devcontainer.json', JSON.stringify(config({ containerEnv: { COLOUR: 'blue' } })))
  await cove.getByRole('button', { name: 'Look again' }).click()
  const change = cove.getByRole('row').filter({ hasText: 'COLOUR' })
  await expect(change).toContainText('blue')
  await expect(change).toContainText('After a rebuild')
  await accessible(cove)
  await cove.getByRole('button', { name: 'Rebuild' }).click()
  const question = cove.getByRole('dialog', { name: 'Rebuild “web”?' })
  await expect(question.getByText(/^Stays: /).first()).toBeVisible()
  await question.getByRole('button', { name: 'Rebuild' }).click()
  await expect(async () => {
    const now = await world.environment('web')
    expect(now.status.phase).toBe('running')
    expect(now.status.container?.id).not.toBe(before.status.container?.id)
  }).toPass({ timeout: 60_000 })
  await expect(cove.getByText('Nothing: the container is of the configuration as it is now.')).toBeVisible()
})

test('what happened is there for who comes later, and goes on', async ({ page, cove: _ }) => {
  await world.up(world.project('web'))
  await open(page, '#/environments/web/events')
  await page.reload()
  const events = page.getByRole('list', { name: 'Events' })
  await expect(events.getByText(/^Creating the container: done in/)).toBeVisible()
  world.cove('stop', 'web')
  await expect(events.getByText(/^Stopping the container: done in/)).toBeVisible()
})

test('a daemon that dies while it comes up is told of, and the page goes on with what was missed', async ({ cove }) => {
  const folder = world.project('slow', config({ postCreateCommand: 'sleep 4' }))
  await world.call('POST', '/v1/environments', { folder })
  await cove.getByRole('link', { name: 'slow', exact: true }).click()
  await expect(cove.getByText('Running postCreateCommand').first()).toBeVisible({ timeout: 60_000 })
  world.kill()
  await expect(cove.getByText('Cove’s daemon does not answer.')).toBeVisible()
  await expect(cove.getByRole('heading', { level: 1, name: 'slow' })).toBeVisible()
  world.cove('ls')
  await expect(cove.getByText('Cove’s daemon does not answer.')).toHaveCount(0)
  await expect(cove.getByText('Running', { exact: true }).first()).toBeVisible({ timeout: 60_000 })
  await cove.getByRole('link', { name: 'Events' }).click()
  await expect(cove.getByText(/^Running postCreateCommand: done in/)).toBeVisible()
})
