import { accessible, expect, open, test, world } from './world'

const SCREENS = ['Environments', 'Open', 'Docker', 'Machine', 'Activity', 'Settings', 'Diagnostics']

test.describe('the page', () => {
  test('every screen is reached by the keyboard, and by the palette', async ({ cove }) => {
    for (const [index, name] of SCREENS.entries()) {
      await cove.keyboard.press(`Control+${index + 1}`)
      await expect(cove.getByRole('heading', { level: 1, name })).toBeVisible()
    }
    await cove.keyboard.press('Control+k')
    await cove.keyboard.type('go to machine')
    await cove.keyboard.press('Enter')
    await expect(cove.getByRole('heading', { level: 1, name: 'Machine' })).toBeVisible()
    await cove.keyboard.press('Control+k')
    await cove.keyboard.press('Escape')
    await expect(cove.getByRole('dialog')).toHaveCount(0)
  })

  test('without a session it says how to get one, and shows nothing', async ({ page }) => {
    world.cove('ls')
    const { url } = await world.call<{ url: string }>('POST', '/v1/page', { for: 'browser' })
    await page.goto(url)
    await expect(page.getByText('This page has no session.')).toBeVisible()
    await expect(page.getByRole('button', { name: 'Copy “cove ui”' })).toBeVisible()
    await page.goto(`${url}/#token=guessed`)
    await expect(page.getByText('This page has no session.')).toBeVisible()
    await accessible(page)
    const { token } = await world.call<{ token: string }>('POST', '/v1/page', { for: 'browser' })
    await page.goto(`${url}/#token=${token}`)
    await expect(page.getByText('This page has no session.')).toHaveCount(0)
  })

  test('the token is gone from the address, and a reload keeps the session', async ({ cove }) => {
    expect(cove.url()).not.toContain('token')
    await cove.reload()
    await expect(cove.getByRole('heading', { level: 1 })).toBeVisible()
  })

  test('a daemon that dies is told of, and the page goes on with the next one', async ({ cove }) => {
    await expect(cove.getByRole('heading', { level: 1 })).toBeVisible()
    world.kill()
    await expect(cove.getByText('Cove’s daemon does not answer.')).toBeVisible()
    world.cove('ls')
    await expect(cove.getByText('Cove’s daemon does not answer.')).toHaveCount(0)
    await expect(cove.getByRole('heading', { level: 1 })).toBeVisible()
  })

  test('another version of the daemon is told of, with what to update', async ({ page }) => {
    world.cove('ls')
    await page.route('**/v1/version', (route) => route.fulfill({ json: { version: '0.0.9', api: 'v1', pid: 1 } }))
    await open(page)
    await expect(page.getByText('The daemon is older')).toBeVisible()
    await expect(page.getByRole('button', { name: 'Copy “cove daemon stop”' })).toBeVisible()
    await page.unroute('**/v1/version')
    await page.route('**/v1/version', (route) => route.fulfill({ json: { version: '99.0.0', api: 'v1', pid: 1 } }))
    await page.reload()
    await expect(page.getByText('The app is older')).toBeVisible()
  })

  test('nothing it loads comes from elsewhere, and no script can be put in', async ({ page: cove }) => {
    world.cove('ls')
    await open(cove)
    const refused = await cove.evaluate(async () => {
      const violations: string[] = []
      document.addEventListener('securitypolicyviolation', (event) => violations.push(event.violatedDirective))
      const script = document.createElement('script')
      script.textContent = 'window.ran = true'
      document.body.append(script)
      const image = new Image()
      image.src = 'http://example.invalid/pixel.png'
      document.body.append(image)
      await fetch('http://example.invalid/').catch(() => undefined)
      await new Promise((resolve) => setTimeout(resolve, 200))
      return { violations, ran: 'ran' in window }
    })
    expect(refused.ran).toBe(false)
    expect(refused.violations).toEqual(expect.arrayContaining(['script-src-elem', 'img-src', 'connect-src']))
  })
})
