// What was asked to be opened outside of the page: by a link, a folder, a file. It is shown, and nothing more.
import type { Problem } from '../api/types'
import { host, type Opened } from '../host'
import { go } from '../routes'

class Asked {
  /** Why the last of it cannot be opened. */
  refused: Problem | undefined = $state.raw()

  /** Shows what waits longest, if anything does. */
  async take(): Promise<void> {
    const opened = await host.takeOpened?.()
    if (opened) this.show(opened)
  }

  show(opened: Opened): void {
    this.refused = opened.refused
    const query: Record<string, string> = {}
    for (const key of ['folder', 'repository', 'branch'] as const) if (opened[key]) query[key] = opened[key]
    if (opened.link) query.by = 'link'
    go('open', [], query)
  }
}

export const asked = new Asked()
