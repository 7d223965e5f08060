// A process in a container or the machine, over a WebSocket: the request as the first text, then input as bytes and
// control as text; from the other side a byte that names the stream before its bytes, and the end as text.
import { refusal, Refused, socket } from './client'
import type { ExecRequest } from './types'

export type ExecEnd = { type: 'exited'; code: number } | { type: 'signaled'; number: number }

export interface Listener {
  output(bytes: Uint8Array): void
  /** It ended, or could not be started; `undefined` when the connection broke. */
  end(how: ExecEnd | Refused | undefined): void
}

export interface Exec {
  write(data: string | Uint8Array): void
  resize(rows: number, columns: number): void
  close(): void
}

const encoder = new TextEncoder()

/** Starts a process; `path` is that of the exec route. */
export function openExec(path: string, request: ExecRequest, listener: Listener): Exec {
  const connection = socket(path)
  let ended = false
  const end = (how: ExecEnd | Refused | undefined): void => {
    if (ended) return
    ended = true
    listener.end(how)
    connection.close()
  }
  // What is typed, and how large the window became, while it connects.
  const waiting: (string | Uint8Array<ArrayBuffer>)[] = []
  connection.onopen = () => {
    connection.send(JSON.stringify(request))
    for (const data of waiting.splice(0)) connection.send(data)
  }
  connection.onclose = () => end(undefined)
  connection.onmessage = ({ data }: MessageEvent<string | ArrayBuffer>) => {
    if (typeof data !== 'string') {
      listener.output(new Uint8Array(data, 1))
      return
    }
    const said = JSON.parse(data) as ExecEnd | { problem: unknown }
    end('problem' in said ? refusal(said, 0) : said)
  }
  const send = (data: string | Uint8Array<ArrayBuffer>): void => {
    if (connection.readyState === WebSocket.OPEN) connection.send(data)
    else if (connection.readyState === WebSocket.CONNECTING) waiting.push(data)
  }
  return {
    write: (data) => send(typeof data === 'string' ? encoder.encode(data) : new Uint8Array(data)),
    resize: (rows, columns) => send(JSON.stringify({ type: 'resize', rows, columns })),
    close() {
      ended = true
      connection.close()
    },
  }
}
