// What a runner tells, and what is settled with it. The test that runs these plays `bench`: it edited three environments while
// the server, of which it did not hear, had them changed or deleted.
import { accessible } from '../accessible'
import { declare } from './made-up'
import { apply, control, enter, expect, fits, show, test } from './world'

type Environment = { spec: { config?: string; desired_phase: string }; status: { conflicts?: unknown[] } }

test.beforeAll(declare)

function environment(name: string): Environment {
  return JSON.parse(control(['get', 'environment', name, '-o', 'json'])) as Environment
}

test('an environment shows what its runner told, and which policies limit it', async ({ page }) => {
  apply(
    { kind: 'Policy', metadata: { name: 'shop-only' }, spec: { projects: ['shop'], stop_after: 3600, images: ['docker.io/library/*'] } },
    { kind: 'Policy', metadata: { name: 'elsewhere' }, spec: { projects: [], stop_after: 60 } },
  )
  await enter(page, 'ann')
  await show(page, '#/environments/till')
  const runs = page.getByRole('region', { name: 'Tasks and services' })
  await expect(runs.getByRole('row', { name: /tasks\/test.*Failed.*1 min 5 s.*3/ })).toBeVisible()
  await expect(runs.getByRole('row', { name: /tasks\/build.*Succeeded.*1 min 5 s.*0/ })).toBeVisible()
  await expect(runs.getByRole('row', { name: /services\/web.*Running/ })).toBeVisible()
  const limits = page.getByRole('region', { name: 'Limits' })
  await expect(limits.getByRole('listitem').filter({ hasText: 'stops after' })).toHaveText('What nobody uses stops after 1 hour. by shop-only')
  await expect(limits).toContainText('Editors: only code, zed. by base')
  await expect(limits).not.toContainText('elsewhere')
  await fits(page, 320, 'an environment')
  await accessible(page)
  await show(page, '#/environments/shop-bob')
  await expect(page.getByText('No computer has come in as mac-bob yet.')).toBeVisible()
  for (const name of ['shop-only', 'elsewhere']) control(['delete', 'policy', name])
})

test('of two values that crossed one is chosen, and its runner takes it', async ({ page }) => {
  await enter(page, 'ann')
  await expect(page.getByRole('row', { name: /till/ })).toContainText('1 conflict')
  await page.getByRole('link', { name: 'till' }).click()
  const conflicts = page.getByRole('region', { name: 'Changed on two sides' })
  await expect(conflicts.getByRole('listitem').filter({ hasText: 'ours.json' })).toContainText('counts now')
  await expect(conflicts.getByRole('listitem').filter({ hasText: 'theirs.json' })).toContainText('said by control plane')
  await fits(page, 320, 'a conflict')
  await accessible(page)
  await conflicts.getByRole('button', { name: 'Take this value: config, theirs.json' }).press('Enter')
  await expect(conflicts).toBeHidden()
  await expect(page.getByRole('main')).toBeFocused()
  await expect(page.getByText('has not taken in the last change')).toHaveCount(0)
  expect(environment('till').status.conflicts).toBeUndefined()
  expect(environment('till').spec.config).toBe('theirs.json')
})

test('what was deleted by somebody who did not know of a change is kept or deleted by a choice', async ({ page }) => {
  await enter(page, 'ann')
  await page.getByRole('link', { name: 'kiosk' }).click()
  const conflicts = page.getByRole('region', { name: 'Changed on two sides' })
  await expect(conflicts.getByRole('listitem').filter({ hasText: 'ours.json' })).toContainText('said by bench')
  await fits(page, 320, 'a deletion')
  await accessible(page)
  await conflicts.getByRole('button', { name: 'Keep it, stopped' }).click()
  await expect(conflicts).toBeHidden()
  expect(environment('kiosk').spec).toMatchObject({ desired_phase: 'stopped', config: 'ours.json' })

  await show(page, '#/environments/stall')
  await conflicts.getByRole('button', { name: 'Delete it all the same' }).click()
  await expect(page.getByRole('dialog')).toContainText('2 changes that were pushed nowhere')
  await page.getByRole('dialog').getByRole('button', { name: 'Delete' }).click()
  await expect(page.getByRole('heading', { name: 'There is no environment stall that you may see' })).toBeVisible()
  await page.getByRole('link', { name: 'Show all environments' }).click()
  await expect(page.getByRole('link', { name: 'kiosk' })).toBeVisible()
})

test('a secret says which runners cannot open it, and how that is mended', async ({ page }) => {
  const sealed = { used_as: { variable: 'NPM_TOKEN' }, session: 'a', sealed: [] }
  apply(
    { kind: 'Secret', metadata: { name: 'npm-token' }, spec: { ...sealed, scope: { project: 'shop' } } },
    { kind: 'Secret', metadata: { name: 'own-token' }, spec: { ...sealed, scope: { user: 'ann' } } },
  )
  await enter(page, 'ann')
  await show(page, '#/secrets')
  await expect(page.getByRole('row', { name: /npm-token/ })).toContainText(/No runner.*bench cannot open it.*cove-control secret reseal npm-token/)
  await expect(page.getByRole('row', { name: /own-token/ })).toContainText('ann can seal it to them too')
  await fits(page, 320, 'secrets')
  await accessible(page)
  await page.setViewportSize({ width: 1280, height: 800 })
  await page.getByRole('button', { name: 'Change own-token' }).click()
  await page.getByRole('button', { name: 'Add a label' }).click()
  await page.getByLabel('Name of label 1').fill('kept-in')
  await page.getByLabel('Value of label kept-in').fill('the safe')
  await page.getByRole('button', { name: 'Save' }).click()
  await expect(page.getByRole('row', { name: /own-token/ })).toContainText('kept-in=the safe')
  for (const name of ['npm-token', 'own-token']) control(['delete', 'secret', name])
})
