import type { machine as en } from '../en/machine'

export const machine: typeof en = {
  title: '머신',
}
