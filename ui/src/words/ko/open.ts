import type { open as en } from '../en/open'

export const open: typeof en = {
  title: '열기',
}
