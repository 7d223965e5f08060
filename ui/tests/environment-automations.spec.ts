// Tasks and services of an environment.
import { copyFileSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { accessible, config, expect, test, variable, world } from './world'

test.afterEach(() => world.clear())

const FILE = `
services:
  web:
    name: Web server
    commands: { start: 'echo "<i>served</i>"; exec sleep 600' }
    triggeredBy: [postEnvironmentStart]
    dependsOn: [seed]
tasks:
  seed:
    command: echo seeded
  fails:
    command: echo "it went wrong"; exit 3
`

test('services and tasks are started and stopped, and each has its log', async ({ cove }) => {
  const mounts = ['type=bind,source=${localWorkspaceFolder}/.bin/cove-inside,target=/dev/cove/bin/cove-inside']
  const folder = world.project('web', config({ mounts }), { '.cove/automations.yaml': FILE })
  mkdirSync(join(folder, '.bin'))
  // What the guest has in every container; this engine is no guest's.
  copyFileSync(variable('COVE_TEST_INSIDE'), join(folder, '.bin/cove-inside'))
  await world.up(folder)
  await cove.getByRole('link', { name: 'web', exact: true }).click()
  await cove.getByRole('navigation', { name: 'web' }).getByRole('link', { name: 'Automations' }).click()
  const row = (name: string) => cove.getByRole('row').filter({ has: cove.getByRole('link', { name, exact: true }) })
  await expect(row('services/web')).toContainText('Running')
  await expect(row('tasks/seed')).toContainText('Succeeded')
  await row('services/web').getByRole('link').click()
  const log = cove.getByRole('log')
  await expect(log.getByText('<i>served</i>')).toBeVisible()
  await accessible(cove)

  await cove.getByRole('button', { name: 'Stop services/web' }).click()
  await expect(row('services/web')).toContainText('Stopped')
  await cove.getByRole('button', { name: 'Start services/web' }).click()
  await expect(row('services/web')).toContainText('Running')
  await cove.getByRole('button', { name: 'Start tasks/fails' }).click()
  await expect(row('tasks/fails')).toContainText('Failed')
  await expect(row('tasks/fails')).toContainText('ended with 3')
  // The drawing says what the table does, and leads to the same.
  await cove.getByRole('link', { name: 'tasks/seed, Succeeded' }).click()
  await expect(cove.getByRole('log').getByText('seeded')).toBeVisible()
})
