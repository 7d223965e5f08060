import { expect, test, vi } from 'vitest'
import { openExec } from './exec'

const CONNECTING = 0
const OPEN = 1

const connection = vi.hoisted(() => {
  const sent: unknown[] = []
  return { readyState: 0, sent, onopen() {}, send: (data: unknown) => sent.push(data) }
})
vi.mock('./client', () => ({ socket: () => connection }))
vi.stubGlobal('WebSocket', { CONNECTING, OPEN })

test('what is typed and resized while it connects comes after the request, in its order', () => {
  const exec = openExec('/v1/exec', { argv: ['sh'] }, { output() {}, end() {} })
  exec.write('ls')
  exec.resize(24, 80)
  expect(connection.sent).toEqual([])
  connection.readyState = OPEN
  connection.onopen()
  exec.write('\n')
  const text = (data: unknown): unknown => (typeof data === 'string' ? JSON.parse(data) : new TextDecoder().decode(data as Uint8Array))
  expect(connection.sent.map(text)).toEqual([{ argv: ['sh'] }, 'ls', { type: 'resize', rows: 24, columns: 80 }, '\n'])
})
