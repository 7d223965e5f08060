// What the console says, in the person's language: beside the words that parts of every page share.
import { words as shared } from '../../words/kit'
import { spoken } from '../../words/language.svelte'
import { console as en } from './en'
import { console as ko } from './ko'

export const words = { ...shared, console: spoken({ en, ko }) }
