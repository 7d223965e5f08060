// What an environment may use of the person's credentials.
import { accessible, expect, test, world } from './world'

test.afterEach(() => world.clear())

test('a credential is granted with a word on what that means, and taken back', async ({ cove }) => {
  await world.up(world.project('web'))
  await cove.getByRole('link', { name: 'web', exact: true }).click()
  await cove.getByRole('link', { name: 'Grants' }).click()
  await expect(cove.getByRole('heading', { name: 'Nothing is granted' })).toBeVisible()
  await cove.getByRole('button', { name: 'Grant…' }).click()
  const dialog = cove.getByRole('dialog', { name: 'What may “web” use?' })
  await dialog.getByRole('combobox', { name: 'Credential' }).selectOption({ label: 'git logins' })
  await expect(dialog.getByRole('button', { name: 'Grant', exact: true })).toBeDisabled()
  await dialog.getByRole('textbox', { name: 'Host' }).fill('not a host')
  await dialog.getByRole('button', { name: 'Grant', exact: true }).click()
  await expect(dialog.getByRole('alert')).toContainText('is no host')
  await dialog.getByRole('textbox', { name: 'Host' }).fill('github.com')
  await dialog.getByRole('combobox', { name: 'For how long' }).selectOption({ label: '31 days' })
  await expect(dialog.getByText('For 31 days, any program in “web” can fetch and push by https with your login at github.com.')).toBeVisible()
  await accessible(cove)
  await dialog.getByRole('button', { name: 'Grant', exact: true }).click()
  const row = cove.getByRole('row').filter({ hasText: 'git logins' })
  await expect(row).toContainText('github.com')
  await expect(row).toContainText('not yet')
  const granted = (await world.environment('web')).spec.grants ?? []
  expect(granted.map((grant) => [grant.kind, grant.host])).toEqual([['git', 'github.com']])
  await accessible(cove)
  await row.getByRole('button', { name: 'Take back' }).click()
  await cove.getByRole('dialog').getByRole('button', { name: 'Take back' }).click()
  await expect(cove.getByRole('heading', { name: 'Nothing is granted' })).toBeVisible()
  expect((await world.environment('web')).spec.grants ?? []).toEqual([])
})
