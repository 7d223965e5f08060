// The person's language.
export type Language = 'en' | 'ko'

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

/** A table of words in the person's language; reactive. */
export function spoken<Words extends object>(tables: Record<Language, Words>): Words {
  return new Proxy({} as Words, { get: (_, part) => tables[current][part as keyof Words] })
}
