// What the page says, in the person's language. English is the one that is complete by definition; every other has the
// same words, which the compiler holds.
import { en } from './en'
import { ko } from './ko'
import { spoken } from './language.svelte'

export { language, LANGUAGES, type Language } from './language.svelte'

export type Words = typeof en

/** The words of a part of the page, `words.machine.start`; reactive. */
export const words: Words = spoken({ en, ko })
