import type { firstRun as en } from '../en/firstRun'

export const firstRun: typeof en = {
  title: 'Cove에 오신 것을 환영합니다',
}
