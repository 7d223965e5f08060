// What the page says, in the person's language. English is the one that is complete by definition; every other has the
// same words, which the compiler holds.
import { en } from './en'
import { ko } from './ko'

export type Words = typeof en
export type Language = 'en' | 'ko'

const TABLES: Record<Language, Words> = { en, ko }
const KEPT = 'cove.language'

export const LANGUAGES: { id: Language; name: string }[] = [
  { id: 'en', name: 'English' },
  { id: 'ko', name: '한국어' },
]

function first(): Language {
  const chosen = localStorage.getItem(KEPT) ?? navigator.language.slice(0, 2)
  return chosen === 'ko' ? 'ko' : 'en'
}

let current: Language = $state(first())

export const language = {
  get current(): Language {
    return current
  },
  set current(wanted: Language) {
    current = wanted
    localStorage.setItem(KEPT, wanted)
    document.documentElement.lang = wanted
  },
}

/** The words of a part of the page, `words.machine.start`; reactive. */
export const words: Words = new Proxy({} as Words, {
  get: (_, part) => TABLES[current][part as keyof Words],
})
