import type { environments as en } from '../en/environments'

export const environments: typeof en = {
  title: '환경',
}
