import type { activity as en } from '../en/activity'

export const activity: typeof en = {
  title: '활동',
}
