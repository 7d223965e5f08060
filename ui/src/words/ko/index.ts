import { activity } from './activity'
import { common } from './common'
import { diagnostics } from './diagnostics'
import { docker } from './docker'
import { environments } from './environments'
import { firstRun } from './firstRun'
import { machine } from './machine'
import { open } from './open'
import { settings } from './settings'

import type { en } from '../en'

export const ko: typeof en = { common, environments, open, docker, machine, activity, settings, diagnostics, firstRun }
