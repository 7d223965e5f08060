// The words that parts of every page share.
import { common as en } from './en/common'
import { common as ko } from './ko/common'
import { spoken } from './language.svelte'

export const words = { common: spoken({ en, ko }) }
