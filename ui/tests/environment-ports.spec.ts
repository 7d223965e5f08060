// Ports of an environment on this computer. The test's own network stands for that of the guest.
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { accessible, config, expect, test, world } from './world'

let server: Server
let port = 0

test.beforeEach(async () => {
  server = createServer((_, answer) => answer.end('hello from inside'))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  port = (server.address() as AddressInfo).port
})

test.afterEach(async () => {
  server.close()
  await world.clear()
})

test('a port is a link that answers, another is forwarded, moved and closed', async ({ cove }) => {
  await world.up(world.project('web', config({ forwardPorts: [port], portsAttributes: { [port]: { label: 'the site' } } })))
  await cove.getByRole('link', { name: 'web', exact: true }).click()
  await cove.getByRole('link', { name: 'Ports' }).click()
  const row = cove.getByRole('row').filter({ hasText: 'the site' })
  const link = row.getByRole('link', { name: /^localhost:\d+$/ })
  await expect(link).toBeVisible()
  const [site] = await Promise.all([cove.waitForEvent('popup'), link.click()])
  await expect(site.getByText('hello from inside')).toBeVisible()
  await site.close()
  await accessible(cove)

  // A port that was free a moment ago.
  const probe = createServer()
  await new Promise<void>((resolve) => probe.listen(0, '127.0.0.1', resolve))
  const free = (probe.address() as AddressInfo).port
  await new Promise((resolve) => probe.close(resolve))
  const entry = cove.getByRole('textbox', { name: 'Forward another port' })
  await entry.fill('a b:80')
  await cove.getByRole('button', { name: 'Forward', exact: true }).click()
  await expect(cove.getByText('That is no port')).toBeVisible()
  await entry.fill('41')
  await cove.getByRole('button', { name: 'Forward', exact: true }).click()
  const other = cove.getByRole('row').filter({ hasText: 'You asked' })
  await expect(other).toBeVisible()
  await other.getByRole('button', { name: 'Move…' }).click()
  await cove.getByRole('textbox', { name: 'Port of this computer' }).fill(String(free))
  await cove.getByRole('dialog').getByRole('button', { name: 'Move…' }).click()
  await expect(async () => {
    const { spec } = await world.environment('web')
    expect(spec.ports).toEqual([{ container_port: 41, transport: 'tcp', host_port: free }])
  }).toPass()
  await expect(other.getByRole('link', { name: `localhost:${free}` })).toBeVisible()
  await other.getByRole('button', { name: 'Close 41' }).click()
  await expect(other).toHaveCount(0)
})
