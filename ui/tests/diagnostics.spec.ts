import { readFileSync } from 'node:fs'
import { gunzipSync } from 'node:zlib'
import { accessible, expect, fits, open, test, world } from './world'

test.describe('diagnostics', () => {
  test('shows what was looked at, with the way out of what is wrong', async ({ cove }) => {
    await open(cove, '#/diagnostics')
    const checks = cove.getByRole('list', { name: 'What was looked at' })
    await expect(checks.getByText('state folder')).toBeVisible()
    await expect(cove.getByRole('region', { name: 'Versions' })).toContainText('Daemon')
    await accessible(cove)
    await cove.route('**/v1/doctor', (route) =>
      route.fulfill({ json: { checks: [{ name: 'virtiofsd', outcome: 'bad', finding: 'not found', problem: { code: 'E0303', title: 'virtiofsd is missing', hints: [{ text: 'install it', command: 'apt install virtiofsd' }] } }] } }),
    )
    await cove.getByRole('button', { name: 'Check again' }).click()
    await expect(cove.getByText('One thing needs you')).toBeVisible()
    await expect(cove.getByRole('button', { name: 'Copy “apt install virtiofsd”' })).toBeVisible()
  })

  test('a bundle is read first, and what is saved is what was read', async ({ cove }) => {
    await world.call('PUT', '/v1/secrets', { name: 'PLANTED', scope: { type: 'user' }, value: 'a-value-nobody-may-see' })
    await open(cove, '#/diagnostics')
    await cove.getByRole('button', { name: 'Read it first' }).click()
    const files = cove.getByRole('list', { name: 'Files of the bundle' })
    await expect(files.getByRole('button', { name: /MANIFEST.txt/ })).toBeVisible()
    await expect(cove.getByRole('log')).toContainText('sent to nobody')
    await files.getByRole('button', { name: /coved.log/ }).click()
    await expect(cove.getByRole('log', { name: 'Content of logs/coved.log' })).toContainText('serving')
    await accessible(cove)
    const saving = cove.waitForEvent('download')
    await cove.getByRole('button', { name: 'Save the bundle' }).click()
    const saved = await saving
    expect(saved.suggestedFilename()).toMatch(/^cove-diagnostics-[\d-]+\.tar\.gz$/)
    const text = gunzipSync(readFileSync(await saved.path())).toString('latin1')
    expect(text).toContain('cove-diagnostics/MANIFEST.txt')
    expect(text).toContain('serving')
    expect(text).not.toContain('a-value-nobody-may-see')
    expect(text).not.toContain(process.env['HOME'] ?? 'no home')
    await world.call('PUT', '/v1/secrets', { name: 'PLANTED', scope: { type: 'user' } })
  })

  test('fits a narrow window', async ({ cove }) => {
    await open(cove, '#/diagnostics')
    await cove.setViewportSize({ width: 320, height: 640 })
    await cove.getByRole('button', { name: 'Read it first' }).click()
    await expect(cove.getByRole('list', { name: 'Files of the bundle' })).toBeVisible()
    await fits(cove.locator('main'))
  })
})
