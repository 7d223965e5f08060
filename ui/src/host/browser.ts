// A browser: its session comes by a token in the address that works once.
import { NoSession, type Host, type Session } from './types'

const KEPT = 'cove.session'

export const browser: Host = {
  kind: 'browser',
  async session(): Promise<Session> {
    const once = /^#token=([\w-]+)$/.exec(location.hash)?.[1]
    if (once) {
      // Out of the address before anything else, so that it is not copied with it.
      history.replaceState(null, '', location.pathname)
      const response = await fetch('/session', {
        method: 'POST',
        headers: { 'Content-Type': 'application/json' },
        body: JSON.stringify({ token: once }),
      })
      if (response.ok) sessionStorage.setItem(KEPT, ((await response.json()) as { token: string }).token)
    }
    const token = sessionStorage.getItem(KEPT)
    if (!token) throw new NoSession()
    return { url: '', token }
  },
  async copy(text) {
    await navigator.clipboard.writeText(text)
  },
  async openExternal(url) {
    window.open(url, '_blank', 'noopener,noreferrer')
  },
}
