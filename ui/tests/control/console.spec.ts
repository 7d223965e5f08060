// The console as people meet it, against a real server: one goes through everything, another sees less.
import { accessible } from '../accessible'
import { declare, reported } from './made-up'
import { apply, control, enter, expect, fits, link, show, test } from './world'

const SCREENS = ['environments', 'environments/shop-ann', 'environments/stall', 'projects', 'runners', 'classes', 'policies', 'secrets', 'people', 'people/groups', 'people/roles', 'people/organization', 'audit']

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
      // As narrow as the sidebar stays.
      await fits(page, 901, screen)
      for (const width of [320, 1280]) {
        await fits(page, width, screen)
        // Colours are those of any width.
        if (width === 1280 || theme === 'light') await accessible(page)
      }
    }
  }
  await page.getByLabel('Language').selectOption('ko')
  await expect(page.getByRole('link', { name: '감사 로그' })).toBeVisible()
  for (const screen of SCREENS) {
    await show(page, `#/${screen}`)
    await expect(page.getByRole('heading', { level: 1 })).toBeVisible()
    await fits(page, 320, `${screen} in Korean`)
  }
  // Where there is a menu, the focus goes to where its link leads.
  await page.getByRole('button', { name: '메뉴' }).press('Enter')
  await page.getByRole('link', { name: '러너', exact: true }).press('Enter')
  await expect(page.getByRole('heading', { level: 1, name: '러너' })).toBeVisible()
  await expect(page.getByRole('main')).toBeFocused()
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
  await expect(page.getByRole('main')).toBeFocused()
  await page.getByRole('button', { name: 'Delete shop' }).click()
  await page.getByRole('dialog').getByRole('button', { name: 'Delete' }).click()
  await expect(page.getByRole('alert')).toContainText('E0505')
})

test('labels are edited, and what somebody else changed meanwhile is kept', async ({ page }) => {
  const shop = (labels: object): void => {
    const { spec } = JSON.parse(control(['get', 'project', 'shop', '-o', 'json'])) as { spec: object }
    apply({ kind: 'Project', metadata: { name: 'shop', labels }, spec })
  }
  const labels = (): unknown => (JSON.parse(control(['get', 'project', 'shop', '-o', 'json'])) as { metadata: { labels?: object } }).metadata.labels
  shop({ team: 'checkout', 'odd=name': 'a=b' })
  await enter(page, 'ann')
  await show(page, '#/projects')
  const row = page.getByRole('row', { name: /shop/ })
  await expect(row.getByRole('list', { name: 'Labels' })).toContainText('team=checkout')
  await row.getByRole('button', { name: 'Change shop' }).click()
  const dialog = page.getByRole('dialog')
  await dialog.getByLabel('Value of label team').fill('payments')
  await dialog.getByRole('button', { name: 'Add a label' }).press('Enter')
  await expect(dialog.getByLabel('Name of label 3')).toBeFocused()
  await page.keyboard.type('team')
  await dialog.getByRole('button', { name: 'Save' }).click()
  await expect(dialog.getByRole('alert')).toContainText('Two labels are called team.')
  await dialog.getByLabel('Name of label 3').fill('stage')
  await dialog.getByLabel('Value of label stage').fill('live')
  await fits(page, 320, 'the form')
  await accessible(page)

  shop({ team: 'checkout', 'odd=name': 'a=b', cost: '7' })
  await dialog.getByRole('button', { name: 'Save' }).click()
  await expect(dialog.getByRole('alert')).toContainText('Somebody else changed shop after you opened this')
  await expect(dialog.getByRole('alert')).toBeInViewport()
  await accessible(page)
  expect(labels()).toEqual({ team: 'checkout', 'odd=name': 'a=b', cost: '7' })
  await dialog.getByRole('button', { name: 'Put my changes into theirs' }).click()
  await expect(dialog.getByLabel('Value of label cost')).toHaveValue('7')
  await dialog.getByRole('button', { name: 'Remove label odd=name' }).click()
  await dialog.getByRole('button', { name: 'Save' }).click()
  await expect(dialog).toBeHidden()
  expect(labels()).toEqual({ team: 'payments', stage: 'live', cost: '7' })

  // Neither over what is gone by now, nor over what has its name.
  await page.setViewportSize({ width: 1280, height: 800 })
  apply({ kind: 'Project', metadata: { name: 'till' }, spec: { repository: { url: 'u' } } })
  await page.getByRole('button', { name: 'Change till' }).click()
  control(['delete', 'project', 'till'])
  await dialog.getByRole('button', { name: 'Save' }).click()
  await expect(dialog.getByRole('alert')).toContainText('Somebody else deleted till after you opened this')
  await dialog.getByRole('button', { name: 'Cancel' }).click()
  await page.getByRole('button', { name: 'New project' }).click()
  await dialog.getByLabel('Name', { exact: true }).fill('shop')
  await dialog.getByLabel('Repository').fill('u')
  await dialog.getByRole('button', { name: 'Save' }).click()
  await expect(dialog.getByRole('alert')).toContainText('There is a project shop already')
  await dialog.getByRole('button', { name: 'Show what there is now' }).click()
  await expect(dialog.getByLabel('Repository')).toHaveValue('https://github.com/example/shop')
  await dialog.getByRole('button', { name: 'Cancel' }).click()
  shop({})

  await show(page, '#/people/organization')
  await page.getByRole('button', { name: 'Change' }).click()
  await dialog.getByRole('button', { name: 'Add a label' }).click()
  await dialog.getByLabel('Name of label 1').fill('region')
  await dialog.getByRole('button', { name: 'Save' }).click()
  await expect(page.getByRole('list', { name: 'Labels' })).toHaveText('region')
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
  const head = await page.getByText(/^[0-9a-f]{64}$/).textContent()
  expect(control(['audit', 'verify']), 'both say the same').toContain(head)
  await accessible(page)
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
  await page.getByRole('button', { name: 'New environment' }).click()
  const dialog = page.getByRole('dialog')
  await expect(dialog.getByLabel('Its person')).toHaveValue('ann')
  await dialog.getByLabel('Name', { exact: true }).fill('shop-new')
  await dialog.getByLabel('Project').selectOption('shop')
  await expect(dialog.getByLabel('Repository')).toHaveValue('https://github.com/example/shop')
  await expect(dialog.getByLabel('Runner')).toHaveValue('big-linux')
  await fits(page, 320, 'the form of an environment')
  await accessible(page)
  await dialog.getByRole('button', { name: 'Save' }).click()
  await expect(page.getByRole('link', { name: 'shop-new' })).toBeVisible()
  control(['delete', 'environment', 'shop-new'])
  await expect(page.getByRole('link', { name: 'shop-new' })).toHaveCount(0)
  await page.setViewportSize({ width: 1280, height: 800 })
  // Its project is for computers of its own person, beside one class.
  apply({ kind: 'Runner', metadata: { name: 'mac-ann' }, spec: { variant: 'personal', owner: 'ann' } })
  await page.getByRole('link', { name: 'shop-ann' }).click()
  await page.getByRole('button', { name: 'Move' }).click()
  await page.getByRole('dialog').getByLabel('Runner').selectOption('mac-ann')
  await page.getByRole('button', { name: 'Move it there' }).click()
  await expect(page.getByText('mac-ann').first()).toBeVisible()
  expect(control(['get', 'environment', 'shop-ann', '-o', 'json'])).toContain('"mac-ann"')
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
    const refused = page.locator('main').getByRole('button', { name: /^(New|Change|Delete|Start|Stop|Move|Let a computer|Revoke|Take this|Keep)/ })
    await expect(refused, screen).toHaveCount(0)
  }
  const status = await page.evaluate(async () => (await fetch('/v1/organizations/acme/projects/shop', { method: 'DELETE' })).status)
  expect(status).toBe(403)
  // A role that changes is heard of: buttons come without the page being loaded again.
  await show(page, '#/projects')
  apply({ kind: 'Role', metadata: { name: 'maintainer' }, spec: { permissions: [{ kinds: ['Project'] }], subjects: [{ user: 'bob' }] } })
  await expect(page.getByRole('button', { name: 'New project' })).toBeVisible()
  // One that is for what is one's own lets nobody stop what is another's.
  apply({ kind: 'Role', metadata: { name: 'maintainer' }, spec: { permissions: [{ kinds: ['Environment'] }], subjects: [{ user: 'bob' }], own: true } })
  await show(page, '#/environments')
  await expect(page.getByRole('button', { name: 'Start shop-bob' })).toBeVisible()
  await expect(page.getByRole('button', { name: 'Delete shop-bob' })).toBeVisible()
  await expect(page.getByRole('button', { name: /^(Stop|Start|Delete) (shop-ann|till)$/ })).toHaveCount(0)
})

test('what no role lets somebody see is not told to be nothing', async ({ page }) => {
  apply(
    { kind: 'User', metadata: { name: 'fay' }, spec: { email: 'fay@example.com' } },
    { kind: 'Role', metadata: { name: 'projects-only' }, spec: { permissions: [{ verbs: ['get', 'list'], kinds: ['Organization', 'Project', 'Environment'] }], subjects: [{ user: 'fay' }] } },
  )
  await enter(page, 'fay')
  await expect(page.getByRole('link', { name: 'Secrets' })).toHaveCount(0)
  await show(page, '#/secrets')
  await expect(page.getByRole('heading', { name: 'No role lets you see these' })).toBeVisible()
  await show(page, '#/environments/till')
  await expect(page.getByRole('heading', { level: 1, name: 'till' })).toBeVisible()
  await expect(page.getByRole('region', { name: /Limits|Tasks/ })).toHaveCount(0)
  await show(page, '#/audit')
  await expect(page.getByText('Who may change roles may read the audit log.')).toBeVisible()
  await expect(page.getByText('Nothing was written yet')).toHaveCount(0)
  control(['delete', 'role', 'projects-only'])
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
    if (screen === 'secrets') continue
    // What is shown as a file is one.
    const file = await page.locator('main pre').textContent()
    expect(control(['diff', '-f', '-'], file ?? ''), screen).toMatch(/Nothing would change|^[+~]/)
    await fits(page, 320, screen)
    await accessible(page)
  }
})
