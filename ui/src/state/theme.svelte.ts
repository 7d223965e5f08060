// Light, dark, or as the system is.
const KEPT = 'cove.theme'
const dark = window.matchMedia('(prefers-color-scheme: dark)')

export type Theme = 'system' | 'light' | 'dark'

function first(): Theme {
  const chosen = localStorage.getItem(KEPT)
  return chosen === 'light' || chosen === 'dark' ? chosen : 'system'
}

class Chosen {
  #wanted: Theme = $state(first())
  #system: 'light' | 'dark' = $state(dark.matches ? 'dark' : 'light')

  constructor() {
    dark.addEventListener('change', () => (this.#system = dark.matches ? 'dark' : 'light'))
    this.#paint()
  }

  get wanted(): Theme {
    return this.#wanted
  }

  set wanted(theme: Theme) {
    this.#wanted = theme
    localStorage.setItem(KEPT, theme)
    this.#paint()
  }

  /** The one that is shown. */
  get shown(): 'light' | 'dark' {
    return this.#wanted === 'system' ? this.#system : this.#wanted
  }

  #paint(): void {
    document.documentElement.dataset['theme'] = this.#wanted
  }
}

export const theme = new Chosen()
