import type { docker as en } from '../en/docker'

export const docker: typeof en = {
  title: 'Docker',
}
