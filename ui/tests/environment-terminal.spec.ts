// Terminals in an environment.
import { expect, test, world } from './world'

test.afterEach(() => world.clear())

test('a shell takes what is typed, knows its size, and says how it ended', async ({ cove }) => {
  await world.up(world.project('web'))
  await cove.getByRole('link', { name: 'web', exact: true }).click()
  await cove.getByRole('link', { name: 'Terminal' }).first().click()
  const screen = cove.locator('.xterm-rows').first()
  await expect(screen).toContainText(/[#$]/)
  await cove.keyboard.type('echo "<b>$((6 * 7))</b>"\n')
  await expect(screen).toContainText('<b>42</b>')
  await cove.keyboard.type('stty size\n')
  await expect(screen).toContainText(/\d+ \d{2,3}/)
  await cove.setViewportSize({ width: 800, height: 700 })
  // The terminal takes its new size with the next picture that is drawn.
  await expect(async () => {
    await cove.keyboard.type('clear; stty size | tr " " x\n')
    await expect(screen).toContainText(/\d+x[5-8]\d\b/, { timeout: 2000 })
  }).toPass()
  // Another tab of the environment, and back: it is the same shell.
  await cove.keyboard.type('HERE=still\n')
  await cove.getByRole('link', { name: 'Overview' }).click()
  await cove.getByRole('navigation', { name: 'web' }).getByRole('link', { name: 'Terminal' }).click()
  await cove.locator('.xterm').first().click()
  await cove.keyboard.type('echo $HERE-there\n')
  await expect(screen).toContainText('still-there')

  await cove.getByRole('button', { name: 'Another shell' }).click()
  await expect(cove.getByRole('tab')).toHaveCount(2)
  const second = cove.getByRole('tabpanel', { name: 'Shell 2' })
  await expect(second.locator('.xterm-rows')).toContainText(/[#$]/)
  await cove.keyboard.type('exit 3\n')
  await expect(second.getByText('The process ended with 3.')).toBeVisible()
  await second.getByRole('button', { name: 'Open another' }).click()
  await expect(second.getByText('The process ended with 3.')).toHaveCount(0)
  await cove.getByRole('button', { name: 'End shell 2' }).click()
  await expect(cove.getByRole('tab')).toHaveCount(1)
})

test('text is pasted, and a shell whose daemon died says so', async ({ cove, context }) => {
  await context.grantPermissions(['clipboard-read', 'clipboard-write'])
  await world.up(world.project('web'))
  await cove.getByRole('link', { name: 'web', exact: true }).click()
  await cove.getByRole('link', { name: 'Terminal' }).first().click()
  const screen = cove.locator('.xterm-rows').first()
  await expect(screen).toContainText(/[#$]/)
  await cove.evaluate(() => navigator.clipboard.writeText('echo pasted-$((1 + 1))'))
  await cove.keyboard.press('Control+Shift+v')
  await cove.keyboard.press('Enter')
  await expect(screen).toContainText('pasted-2')
  world.kill()
  await expect(cove.getByText('The connection broke.')).toBeVisible()
  world.cove('ls')
  await expect(cove.getByText('Cove’s daemon does not answer.')).toHaveCount(0)
  await cove.getByRole('button', { name: 'Open another' }).click()
  await expect(screen).toContainText(/[#$]/)
})
