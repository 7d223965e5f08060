import type { diagnostics as en } from '../en/diagnostics'

export const diagnostics: typeof en = {
  title: '진단',
}
