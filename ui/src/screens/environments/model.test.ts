import { describe, expect, it } from 'vitest'
import type { AutomationStatus, PortStatus } from '../../api/types'
import { layOut } from './graph'
import { inside, parsePort, samePort, urlOf } from './model'

describe('ports', () => {
  it.each([
    ['3000', { container_port: 3000, transport: 'tcp' }],
    [' db:5432 ', { container_port: 5432, transport: 'tcp', service: 'db' }],
    ['5353/udp', { container_port: 5353, transport: 'udp' }],
    ['8080=3000', { container_port: 3000, transport: 'tcp', host_port: 8080 }],
    ['53=dns:5353/udp', { container_port: 5353, transport: 'udp', service: 'dns', host_port: 53 }],
    ['80/tcp', { container_port: 80, transport: 'tcp' }],
  ])('%j', (text, wish) => expect(parsePort(text)).toEqual(wish))

  it.each(['', '0', '70000', 'a:', ':80', '80/sctp', 'x=80', '0=80', '80=', 'a b:80', '8080=/udp'])('%j is none', (text) => {
    expect(parsePort(text)).toBeUndefined()
  })

  it('only what a browser can open has an address', () => {
    const port = { container_port: 80, transport: 'tcp', host_port: 8080, protocol: 'tcp' } as PortStatus
    expect(urlOf(port)).toBe('http://localhost:8080')
    expect(urlOf({ ...port, protocol: 'https' })).toBe('https://localhost:8080')
    expect(urlOf({ ...port, transport: 'udp' })).toBeUndefined()
    expect(inside({ ...port, service: 'web' })).toBe('web:80')
    expect(samePort(port, { container_port: 80 })).toBe(true)
    expect(samePort(port, { container_port: 80, service: 'web' })).toBe(false)
  })
})

describe('the graph', () => {
  const item = (name: string, depends_on: string[] = []) => ({ name, depends_on }) as AutomationStatus
  const columns = (items: AutomationStatus[]) => Object.fromEntries(layOut(items).nodes.map((node) => [node.item.name, [node.column, node.row]]))

  it('has each right of what it waits for', () => {
    const items = [item('web', ['seed', 'cache']), item('cache'), item('db'), item('seed', ['db', 'gone'])]
    expect(columns(items)).toEqual({ web: [2, 0], cache: [0, 0], db: [0, 1], seed: [1, 0] })
    const graph = layOut(items)
    expect([graph.columns, graph.rows]).toEqual([3, 2])
    expect(graph.edges.map(({ from, to }) => `${from.item.name}>${to.item.name}`)).toEqual(['seed>web', 'cache>web', 'db>seed'])
  })

  it('ends for a circle', () => {
    expect(Object.keys(columns([item('a', ['b']), item('b', ['a'])]))).toEqual(['a', 'b'])
    expect(layOut([])).toEqual({ nodes: [], edges: [], columns: 0, rows: 0 })
  })
})
