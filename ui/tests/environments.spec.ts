// The list of environments, and what is done from there.
import { environments as madeUpOnes, madeUp } from './made-up'
import { accessible, config, expect, open, test, world } from './world'

test.describe('the list', () => {
  test.afterEach(() => world.clear())

  test('without an environment it says what to do', async ({ cove }) => {
    await expect(cove.getByRole('heading', { name: 'No environment yet' })).toBeVisible()
    await accessible(cove)
    await cove.getByRole('link', { name: 'Open…' }).click()
    await expect(cove).toHaveURL(/#\/open$/)
  })

  test('an environment that is asked for comes by itself, stops, starts and goes', async ({ cove }) => {
    const folder = world.project('web', config({ name: 'The shop' }))
    const asked = world.up(folder)
    const row = cove.getByRole('listitem').filter({ has: cove.getByRole('link', { name: 'web', exact: true }) })
    await expect(row).toBeVisible()
    await asked
    await expect(row.getByText('Running')).toBeVisible()
    await expect(row.getByText('The shop')).toBeVisible()
    await expect(row.getByText(folder)).toBeVisible()
    await accessible(cove)
    await row.getByRole('button', { name: 'Stop: web' }).click()
    await expect(row.getByText('Stopped')).toBeVisible()
    await row.getByRole('button', { name: 'Start: web' }).click()
    await expect(row.getByText('Running')).toBeVisible()

    await row.getByRole('button', { name: 'Delete…: web' }).click()
    const question = cove.getByRole('dialog', { name: 'Delete “web”?' })
    await expect(question.getByText(`Your files in ${folder} stay as they are.`)).toBeVisible()
    await accessible(cove)
    await question.getByRole('button', { name: 'Cancel' }).click()
    await expect(row).toBeVisible()
    await row.getByRole('button', { name: 'Delete…: web' }).click()
    await question.getByRole('button', { name: 'Delete' }).click()
    await expect(cove.getByRole('heading', { name: 'No environment yet' })).toBeVisible()
  })

  test('what is wrong with one is said in its row, and where it is explained there is a way on', async ({ cove }) => {
    const folder = world.project('broken', { image: 7 })
    await world.call('POST', '/v1/environments', { folder })
    const row = cove.getByRole('listitem').filter({ has: cove.getByRole('link', { name: 'broken' }) })
    await expect(row.getByText('Needs you')).toBeVisible()
    await cove.getByRole('link', { name: 'broken' }).click()
    await expect(cove.getByRole('alert').first()).toContainText('devcontainer.json')
    world.write(folder, '.devcontainer.json', JSON.stringify(config()))
    await cove.getByRole('button', { name: 'Try again' }).click()
    await expect(cove.getByRole('banner').or(cove.getByRole('heading', { level: 1 })).first()).toBeVisible()
    await expect(cove.getByText('Running', { exact: true }).first()).toBeVisible()
  })

  test('the palette does what the row does', async ({ cove }) => {
    await world.up(world.project('web'))
    await cove.keyboard.press('Control+k')
    await cove.keyboard.type('stop web')
    await cove.keyboard.press('Enter')
    await expect(cove.getByText('Stopped')).toBeVisible()
    await cove.keyboard.press('Control+k')
    await cove.keyboard.type('show environment web')
    await cove.keyboard.press('Enter')
    await expect(cove.getByRole('heading', { level: 1, name: 'web' })).toBeVisible()
  })

  test('hostile names are text', async ({ cove }) => {
    const title = '<img src=x onerror="window.ran=1"><b>bold</b>'
    await world.up(world.project('hostile', config({ name: title })))
    await expect(cove.getByText(title)).toBeVisible()
    expect(await cove.evaluate(() => 'ran' in window)).toBe(false)
  })
})

test('five hundred environments are found, and scrolled without a stop', async ({ page }) => {
  world.cove('ls')
  await open(page)
  const origin = new URL(page.url()).origin
  const some = madeUpOnes[0] as (typeof madeUpOnes)[number]
  const many = Array.from({ length: 500 }, (_, index) => ({ ...some, id: `id-${index}`, metadata: { ...some.metadata, name: `shop-${index}` } }))
  await madeUp(page, { '/v1/environments': many })
  await page.goto(`${origin}/#/environments`)
  await page.reload()
  const list = page.getByRole('list', { name: 'Environments' })
  await expect(list.getByRole('link', { name: 'shop-0', exact: true })).toBeVisible()
  await page.getByRole('searchbox', { name: 'Search environments' }).fill('shop-49')
  await expect(list.getByRole('listitem')).toHaveCount(11)
  await page.getByRole('searchbox', { name: 'Search environments' }).fill('')
  const main = page.locator('#main')
  await expect(async () => {
    await main.evaluate((element) => element.scrollTo(0, element.scrollHeight))
    await expect(list.getByRole('listitem')).toHaveCount(500, { timeout: 200 })
  }).toPass()
})
