import { accessible, expect, IMAGE, test, world } from './world'

// What a page would run if it took any of these for more than text.
const EVIL = '<img src=x onerror="window.ran=1">'

/** Removes what a case made; what belongs to nobody else is all there is. */
function clear(): void {
  const left = world.docker('ps', '-aq').split('\n').filter(Boolean)
  if (left.length > 0) world.docker('rm', '-f', ...left)
  for (const name of ['data', 'loose']) world.docker('volume', 'rm', '-f', name)
}

test.describe('docker', () => {
  test.beforeEach(async ({ cove }) => {
    world.cove('machine', 'start')
    await cove.getByRole('link', { name: 'Docker' }).click()
    await expect(cove.getByRole('heading', { level: 1, name: 'Docker' })).toBeVisible()
  })

  test.afterEach(() => clear())

  test('containers appear by themselves, are stopped and started, and removed after a question', async ({ cove }) => {
    world.docker('run', '-d', '--name', 'web', '-p', '18080:80', '-l', `note=${EVIL}`, '-l', `com.docker.compose.project=${EVIL}`, IMAGE, 'sh', '-c', `echo '${EVIL}'; sleep 600`)
    const row = cove.getByRole('row').filter({ has: cove.getByRole('link', { name: 'web', exact: true }) })
    await expect(row.getByText('Running')).toBeVisible()
    await expect(row.getByText('18080 → 80/tcp')).toBeVisible()
    await expect(cove.getByText(`Compose project ${EVIL}`)).toBeVisible()
    await accessible(cove)

    await row.getByRole('button', { name: 'Stop web' }).click()
    await expect(row.getByText('Stopped', { exact: true })).toBeVisible()
    await cove.getByRole('button', { name: 'Running', exact: true }).click()
    await expect(cove.getByText('Nothing fits')).toBeVisible()
    await cove.getByRole('button', { name: 'Show all' }).click()
    await row.getByRole('button', { name: 'Start web' }).click()
    await expect(row.getByText('Running')).toBeVisible()

    await row.getByRole('button', { name: 'Remove web' }).click()
    const question = cove.getByRole('dialog', { name: 'Remove the container web?' })
    await expect(question.getByText('It runs, and is killed.')).toBeVisible()
    await accessible(cove)
    await question.getByRole('button', { name: 'Cancel' }).click()
    await expect(row).toBeVisible()
    await row.getByRole('button', { name: 'Remove web' }).click()
    await question.getByRole('button', { name: 'Remove' }).click()
    await expect(row).toHaveCount(0)
    expect(world.docker('ps', '-aq')).toBe('')
    expect(await cove.evaluate(() => 'ran' in window)).toBe(false)
  })

  test('a container shows its log as text, a terminal that answers, and all that the engine says', async ({ cove }) => {
    world.docker('run', '-d', '--name', 'web', '-l', `note=${EVIL}`, IMAGE, 'sh', '-c', `echo '${EVIL}'; echo wrong >&2; sleep 600`)
    await cove.getByRole('link', { name: 'web', exact: true }).click()
    await expect(cove.getByRole('log').getByText(EVIL)).toBeVisible()
    await expect(cove.getByRole('log').locator('.error')).toHaveText('wrong')
    await accessible(cove)

    await cove.getByRole('link', { name: 'Terminal' }).click()
    await cove.getByRole('group', { name: 'Terminal in web' }).locator('textarea').focus()
    await cove.keyboard.type('echo sum=$((40 + 2))\n')
    await expect(cove.locator('.xterm-rows')).toContainText('sum=42')

    await cove.getByRole('link', { name: 'Inspect' }).click()
    const inspect = cove.getByRole('region', { name: 'All that the engine says' })
    await expect(inspect).toContainText('"Hostname"')
    await cove.getByRole('searchbox', { name: 'Search in it' }).fill('onerror')
    await expect(inspect).toContainText('<img src=x')
    await accessible(cove)

    await cove.getByRole('link', { name: 'Overview' }).click()
    await expect(cove.getByText(IMAGE, { exact: true }).last()).toBeVisible()
    world.docker('rm', '-f', 'web')
    await expect(cove.getByText('This container is gone')).toBeVisible()
    expect(await cove.evaluate(() => 'ran' in window)).toBe(false)
  })

  test('what an environment has is kept: the refusal says what to do instead', async ({ cove }) => {
    const { id } = await world.up(world.project('kept'))
    const name = world.docker('ps', '--filter', `label=dev.cove.environment=${id}`, '--format', '{{.Names}}').trim()
    const row = cove.getByRole('row').filter({ has: cove.getByRole('link', { name, exact: true }) })
    await expect(row.getByRole('link', { name: 'Open the environment kept' })).toBeVisible()
    await expect(row.getByRole('button')).toHaveCount(0)
    const refused = world.call('DELETE', `/v1/machines/default/docker/containers/${name}?force=true`)
    await expect(refused).rejects.toThrow(/E0220.*cove rm kept/)
    await world.clear()
  })

  test('an image shows its layers; a volume its folders, and markup in names stays text', async ({ cove }) => {
    world.docker('run', '--rm', '-v', 'data:/v', IMAGE, 'sh', '-c', `mkdir -p '/v/a b' && printf 12345 > '/v/a b/<b>bold' && touch '/v/<img src=x onerror=window.ran=1>'`)
    await cove.getByRole('link', { name: 'Images' }).click()
    await cove.getByRole('link', { name: IMAGE, exact: true }).click()
    await expect(cove.getByRole('heading', { level: 1, name: IMAGE })).toBeVisible()
    await expect(cove.getByRole('columnheader', { name: 'Instruction' })).toBeVisible()
    await expect(cove.getByRole('row')).not.toHaveCount(1)
    await accessible(cove)
    await cove.getByRole('link', { name: '‹ Images' }).click()

    await cove.getByRole('link', { name: 'Volumes' }).click()
    await cove.getByRole('link', { name: 'data', exact: true }).click()
    await expect(cove.getByText('<img src=x onerror=window.ran=1>')).toBeVisible()
    await cove.getByRole('link', { name: 'Open the folder a b' }).click()
    await expect(cove.getByRole('row').filter({ hasText: '<b>bold' }).getByText('5 B')).toBeVisible()
    await accessible(cove)
    await cove.goBack()
    await expect(cove.getByRole('link', { name: 'Open the folder a b' })).toBeVisible()
    expect(await cove.evaluate(() => 'ran' in window)).toBe(false)
  })

  test('cleaning up says what goes and what that frees, and does no more', async ({ cove }) => {
    world.docker('run', '--rm', '-v', 'loose:/v', IMAGE, 'sh', '-c', 'head -c 3000000 /dev/zero > /v/big')
    world.docker('create', '--name', 'user', '-v', 'data:/v', IMAGE)
    await cove.getByRole('link', { name: 'Volumes' }).click()
    await expect(cove.getByRole('link', { name: 'loose', exact: true })).toBeVisible()
    await cove.getByRole('button', { name: /^Clean up/ }).click()
    const dialog = cove.getByRole('dialog', { name: 'Remove volumes that no container has' })
    await dialog.getByRole('radio', { name: /^All of them/ }).check()
    await expect(dialog.getByRole('list', { name: 'What goes' })).toHaveText('loose')
    await accessible(cove)
    await dialog.getByRole('button', { name: /^Remove 1, free 3(\.0)? MB/ }).click()
    await expect(cove.getByText(/Removed 1: 3(\.0)? MB freed/)).toBeVisible()
    await expect(cove.getByRole('link', { name: 'loose', exact: true })).toHaveCount(0)
    expect(world.docker('volume', 'ls', '-q').trim()).toBe('data')
  })

  test('networks and builds are shown, and a machine that is off says so and starts', async ({ cove }) => {
    await cove.getByRole('link', { name: 'Networks' }).click()
    await expect(cove.getByRole('link', { name: 'bridge', exact: true })).toBeVisible()
    await accessible(cove)
    await cove.getByRole('link', { name: 'Builds' }).click()
    await expect(cove.getByText('The build cache is empty')).toBeVisible()
    world.cove('machine', 'stop')
    await expect(cove.getByText('The machine is off')).toBeVisible()
    await accessible(cove)
    await cove.getByRole('button', { name: 'Start' }).click()
    await expect(cove.getByText('The build cache is empty')).toBeVisible()
  })
})
