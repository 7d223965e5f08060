// Questions and short words that any part of the page may show; `Overlays.svelte` shows them.

export interface Question {
  title: string
  /** What will happen, what is lost, what is freed: a paragraph each. */
  text: string[]
  /** The word on the button that does it. */
  action: string
  danger?: boolean
}

export interface Toast {
  id: number
  text: string
  tone: 'good' | 'bad'
}

/** How long a short word stays, in milliseconds. */
const STAYS = 5000

class Overlays {
  question: (Question & { answer: (yes: boolean) => void }) | undefined = $state.raw()
  toasts: Toast[] = $state.raw([])
}

export const overlays = new Overlays()

/** Asks; `true` when the person agrees. */
export function confirm(question: Question): Promise<boolean> {
  overlays.question?.answer(false)
  return new Promise((resolve) => {
    overlays.question = {
      ...question,
      answer(yes) {
        overlays.question = undefined
        resolve(yes)
      },
    }
  })
}

let count = 0

/** Says something in passing. What must not be missed is said in the page instead. */
export function toast(text: string, tone: Toast['tone'] = 'good'): void {
  const id = (count += 1)
  overlays.toasts = [...overlays.toasts, { id, text, tone }]
  setTimeout(() => (overlays.toasts = overlays.toasts.filter((shown) => shown.id !== id)), STAYS)
}
