// What differs between a browser and the app's window. The rest of the page never asks which it is in; it asks whether
// something can be done here.
import { app } from './app'
import { browser } from './browser'
import type { Host } from './types'

export { NoSession, type Host, type Opened, type Session } from './types'

export const host: Host = '__TAURI_INTERNALS__' in window ? app : browser
