// The app's window: everything is asked of the app, by the few commands it grants.
import { invoke } from '@tauri-apps/api/core'
import { listen } from '@tauri-apps/api/event'
import { Refused } from '../api/client'
import type { Problem } from '../api/types'
import type { Host, Opened, Session } from './types'

/** A command of the app; what it refuses is thrown as what the daemon refuses is. */
async function ask<T>(command: string, given?: Record<string, unknown>): Promise<T> {
  try {
    return await invoke<T>(command, given)
  } catch (error) {
    if (typeof error === 'object' && error !== null && 'code' in error) throw new Refused(error as Problem, 0)
    throw error
  }
}

export const app: Host = {
  kind: 'app',
  session: () => ask<Session>('session'),
  copy: (text) => navigator.clipboard.writeText(text),
  openExternal: (url) => ask('open_external', { url }),
  startDaemon: () => ask('start_daemon'),
  pickFolder: async () => (await ask<string | null>('pick_folder')) ?? undefined,
  openInEditor: (environment) => ask('open_in_editor', { environment }),
  takeOpened: async () => (await ask<Opened | null>('take_opened')) ?? undefined,
  onOpened(listener) {
    const listening = listen('opened', listener)
    return () => void listening.then((end) => end())
  },
  recent: () => ask<Opened[]>('recent'),
  remember: (opened) => ask('remember', { opened }),
  forgetRecent: () => ask('forget_recent'),
  loginItem: {
    get: async () => (await ask<boolean | null>('login_item')) ?? undefined,
    set: (wanted) => ask('set_login_item', { wanted }),
  },
  appVersion: async () => (await ask<{ version: string }>('app_info')).version,
}
