// The console as people meet it, against a real server: one goes through everything, another sees less.
import { accessible, fits } from '../accessible'
import { declare, reported } from './made-up'
import { apply, control, enter, expect, link, show, test } from './world'

const SCREENS = ['environments', 'environments/shop-ann', 'projects', 'runners', 'classes', 'policies', 'secrets', 'people', 'people/groups', 'people/roles', 'people/organization', 'audit']

test.beforeAll(declare)

test('a link lets one browser in, once, and nobody else', async ({ page, browser }) => {
  const once = link('ann')
  await page.goto(once)
  await expect(page.getByRole('heading', { level: 1, name: 'Environments' })).toBeVisible()
  expect(page.url()).not.toContain('token')
  expect(await page.evaluate(() => document.cookie)).toBe('')
  const other = await browser.newPage({ ignoreHTTPSErrors: true })
  await other.goto(once)
  await expect(other.getByRole('heading', { name: 'You are not signed in' })).toBeVisible()
  await expect(other.getByRole('alert')).toContainText('cove-control console')
  await other.close()
  await page.reload()
  await expect(page.getByText('ann in acme')).toBeVisible()
  await page.getByRole('button', { name: 'Sign out' }).click()
  await expect(page.getByRole('heading', { name: 'You are not signed in' })).toBeVisible()
  await page.reload()
  await expect(page.getByRole('heading', { name: 'You are not signed in' })).toBeVisible()
  await accessible(page)
})

test('everybody can use every screen, narrow and wide, in both themes', async ({ page }) => {
  test.slow()
  await reported(page)
  await page.emulateMedia({ reducedMotion: 'reduce' })
  await enter(page, 'ann')
  for (const theme of ['light', 'dark'] as const) {
    await page.emulateMedia({ colorScheme: theme })
    for (const screen of SCREENS) {
      await show(page, `#/${screen}`)
      await expect(page.getByRole('heading', { level: 1 })).toBeVisible()
      for (const width of [320, 1280]) {
        await page.setViewportSize({ width, height: 800 })
        await fits(page.locator('html'), `${screen} at ${width} px`)
        await accessible(page)
      }
    }
  }
  await page.getByLabel('Language').selectOption('ko')
  await expect(page.getByRole('link', { name: '감사 로그' })).toBeVisible()
})

test('a project is made and changed, and nobody’s change is written over', async ({ page }) => {
  await enter(page, 'ann')
  await show(page, '#/projects')
  await page.getByRole('button', { name: 'New project' }).click()
  const dialog = page.getByRole('dialog')
  await dialog.getByLabel('Name').fill('Not a name')
  await dialog.getByLabel('Repository').fill('https://github.com/example/till')
  await dialog.getByRole('button', { name: 'Save' }).click()
  await expect(dialog.getByRole('alert')).toContainText('is not a name')
  await dialog.getByLabel('Name').fill('till')
  await accessible(page)
  await dialog.getByRole('button', { name: 'Save' }).click()
  await expect(dialog).toBeHidden()
  const row = page.getByRole('row', { name: /till/ })
  await expect(row).toContainText('https://github.com/example/till')

  await row.getByRole('button', { name: 'Change till' }).click()
  apply({ kind: 'Project', metadata: { name: 'till' }, spec: { title: 'Changed elsewhere', repository: { url: 'https://github.com/example/till' } } })
  await expect(row).toContainText('Changed elsewhere')
  await dialog.getByLabel('Title').fill('Mine')
  await dialog.getByRole('button', { name: 'Save' }).click()
  await expect(dialog.getByRole('alert')).toContainText('E0004')
  await dialog.getByRole('button', { name: 'Show what there is now' }).click()
  await expect(dialog.getByLabel('Title')).toHaveValue('Changed elsewhere')
  await dialog.getByRole('button', { name: 'Text' }).click()
  await dialog.getByLabel('What is wanted, as JSON').fill('{ "repository": { "url": "https://github.com/example/till" }, "colour": 1 }')
  await dialog.getByRole('button', { name: 'Save' }).click()
  await expect(dialog.getByRole('alert')).toContainText('colour')
  await dialog.getByLabel('What is wanted, as JSON').fill('{ "title": "The till", "repository": { "url": "https://github.com/example/till" } }')
  await dialog.getByRole('button', { name: 'Save' }).click()
  await expect(row).toContainText('The till')
  expect(control(['get', 'project', 'till', '-o', 'json'])).toContain('The till')

  await row.getByRole('button', { name: 'Delete till' }).click()
  await page.getByRole('dialog').getByRole('button', { name: 'Delete' }).click()
  await expect(row).toBeHidden()
  await page.getByRole('button', { name: 'Delete shop' }).click()
  await page.getByRole('dialog').getByRole('button', { name: 'Delete' }).click()
  await expect(page.getByRole('alert')).toContainText('E0505')
})

test('a computer is let in, and a policy is changed by its form', async ({ page }) => {
  await enter(page, 'ann')
  await show(page, '#/runners')
  await page.getByRole('button', { name: 'Let a computer in as big-linux' }).click()
  const dialog = page.getByRole('dialog')
  await dialog.getByRole('button', { name: 'Make a token' }).click()
  await expect(dialog.getByText(/^cove control join https:\/\/.* --authority [0-9a-f]{64}$/)).toBeVisible()
  await expect(dialog.getByText(/^cove_enrol_/)).toBeVisible()
  await accessible(page)
  await dialog.getByRole('button', { name: 'Close' }).click()

  await show(page, '#/policies')
  await expect(page.getByText('One person has at most 3 running environments.')).toBeVisible()
  await page.getByRole('button', { name: 'Change base' }).click()
  await dialog.getByLabel('Most running environments of one person').fill('5')
  await dialog.getByLabel('Mounts of folders of the host').selectOption('Not allowed')
  await dialog.getByRole('button', { name: 'Save' }).click()
  await expect(page.getByText('One person has at most 5 running environments.')).toBeVisible()
  await expect(page.getByText('No folder of the host may be mounted.')).toBeVisible()

  await show(page, '#/audit')
  await page.getByLabel('Who, what or which').fill('invite')
  await expect(page.getByRole('row', { name: /ann.*invite.*big-linux/ })).toBeVisible()
  await page.getByRole('button', { name: 'Verify' }).click()
  await expect(page.getByText(/lines are as they were written/)).toBeVisible()
  const saved = page.waitForEvent('download')
  await page.getByRole('button', { name: 'Export' }).click()
  expect((await saved).suggestedFilename()).toBe('acme-audit.jsonl')
})

test('an environment is stopped, started and deleted, and each is asked for first where something ends', async ({ page }) => {
  await enter(page, 'ann')
  await page.getByRole('button', { name: 'Stop shop-ann' }).click()
  await page.getByRole('dialog').getByRole('button', { name: 'Stop' }).click()
  await expect(page.getByRole('button', { name: 'Start shop-ann' })).toBeVisible()
  expect(control(['get', 'environment', 'shop-ann', '-o', 'json'])).toContain('"stopped"')
  await page.getByRole('button', { name: 'Start shop-ann' }).click()
  await expect(page.getByRole('button', { name: 'Stop shop-ann' })).toBeVisible()
  await page.getByRole('link', { name: 'shop-ann' }).click()
  await page.getByRole('button', { name: 'Move' }).click()
  await page.getByRole('dialog').getByLabel('Runner').selectOption('mac-bob')
  await page.getByRole('button', { name: 'Move it there' }).click()
  await expect(page.getByText('mac-bob').first()).toBeVisible()
  expect(control(['get', 'environment', 'shop-ann', '-o', 'json'])).toContain('"mac-bob"')
  await page.getByRole('button', { name: 'Delete' }).click()
  await expect(page.getByRole('dialog')).toContainText('Its runner has not told whether anything is unsaved.')
  await page.getByRole('dialog').getByRole('button', { name: 'Cancel' }).click()
})

test('names from elsewhere are words and nothing else', async ({ page }) => {
  const hostile = `<img src=x onerror="document.title='taken'">`
  apply({ kind: 'Project', metadata: { name: 'hostile', labels: { [hostile]: hostile } }, spec: { title: hostile, repository: { url: `javascript:document.title='taken'`, branch: hostile } } })
  await enter(page, 'ann')
  await show(page, '#/projects')
  await expect(page.getByText(hostile).first()).toBeVisible()
  await expect(page.locator('main img')).toHaveCount(0)
  await expect(page.locator('a[href^="javascript:"]')).toHaveCount(0)
  await show(page, `#/environments/${encodeURIComponent(hostile)}`)
  await expect(page.getByText(hostile).first()).toBeVisible()
  expect(await page.title()).not.toContain('taken')
  control(['delete', 'project', 'hostile'])
  await show(page, '#/projects')
  await expect(page.getByText(hostile)).toHaveCount(0)
})

test('who may only look sees no button that is refused', async ({ page }) => {
  await enter(page, 'bob')
  await expect(page.getByRole('link', { name: 'Audit log' })).toHaveCount(0)
  for (const screen of SCREENS.filter((screen) => screen !== 'audit')) {
    await show(page, `#/${screen}`)
    await expect(page.getByRole('heading', { level: 1 })).toBeVisible()
    const refused = page.locator('main').getByRole('button', { name: /^(New|Change|Delete|Start|Stop|Move|Let a computer|Revoke|Take this|Keep this)/ })
    await expect(refused, screen).toHaveCount(0)
  }
  const status = await page.evaluate(async () => (await fetch('/v1/organizations/acme/projects/shop', { method: 'DELETE' })).status)
  expect(status).toBe(403)
  // A role that changes is heard of: buttons come without the page being loaded again.
  await show(page, '#/projects')
  apply({ kind: 'Role', metadata: { name: 'maintainer' }, spec: { permissions: [{ kinds: ['Project'] }], subjects: [{ user: 'bob' }] } })
  await expect(page.getByRole('button', { name: 'New project' })).toBeVisible()
})

test('whom no role lets see anything is told so', async ({ page }) => {
  apply({ kind: 'User', metadata: { name: 'dan' }, spec: { email: 'dan@example.com' } })
  await page.goto(link('dan'))
  await expect(page.getByRole('alert')).toContainText('E0502')
  await accessible(page)
  // Nobody tries again by a clock: somebody does once there is a reason.
  apply({ kind: 'Role', metadata: { name: 'maintainer' }, spec: { permissions: [{}], subjects: [{ user: 'dan' }] } })
  await page.getByRole('button', { name: 'Try again' }).click()
  await expect(page.getByRole('heading', { level: 1, name: 'Environments' })).toBeVisible()
})

test('who is suspended is signed out at once', async ({ page }) => {
  await enter(page, 'bob')
  apply({ kind: 'User', metadata: { name: 'bob' }, spec: { email: 'bob@example.com', suspended: true } })
  await expect(page.getByRole('heading', { name: 'You are not signed in' })).toBeVisible()
  apply({ kind: 'User', metadata: { name: 'bob' }, spec: { email: 'bob@example.com' } })
})

test('where nothing is yet, the command to begin is told', async ({ page }) => {
  await page.route(/\/v1\/organizations\/acme\/[a-z-]+(\?.*)?$/, (route) => (route.request().url().includes('/watch') ? route.fallback() : route.fulfill({ json: [] })))
  await enter(page, 'ann')
  for (const screen of ['environments', 'projects', 'runners', 'classes', 'policies', 'secrets', 'people', 'people/groups', 'people/roles']) {
    await show(page, `#/${screen}`)
    await expect(page.locator('main code').filter({ hasText: 'cove-control' }), screen).toBeVisible()
  }
})
