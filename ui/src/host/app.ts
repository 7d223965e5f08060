// The app's window: everything is asked of the app, by the few commands it grants.
import { invoke } from '@tauri-apps/api/core'
import { listen } from '@tauri-apps/api/event'
import type { Host, Opened, Session } from './types'

export const app: Host = {
  kind: 'app',
  session: () => invoke<Session>('session'),
  copy: (text) => navigator.clipboard.writeText(text),
  openExternal: (url) => invoke('open_external', { url }),
  startDaemon: () => invoke('start_daemon'),
  pickFolder: async () => (await invoke<string | null>('pick_folder')) ?? undefined,
  openInEditor: (environment) => invoke('open_in_editor', { environment }),
  takeOpened: async () => (await invoke<Opened | null>('take_opened')) ?? undefined,
  onOpened(listener) {
    const listening = listen('opened', listener)
    return () => void listening.then((end) => end())
  },
  recent: () => invoke<Opened[]>('recent'),
  forgetRecent: () => invoke('forget_recent'),
  loginItem: {
    get: () => invoke<boolean>('login_item'),
    set: (wanted) => invoke('set_login_item', { wanted }),
  },
  appVersion: async () => (await invoke<{ version: string }>('app_info')).version,
}
