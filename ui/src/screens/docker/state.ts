// How the state of a container looks.
import type { DockerContainer } from '../../api/types'
import type { Tone } from '../../kit/Badge.svelte'

export function tone({ state, status }: DockerContainer): Tone {
  if (state === 'running') return status.includes('(unhealthy)') ? 'warn' : 'good'
  if (state === 'restarting' || state === 'removing') return 'busy'
  if (state === 'paused') return 'warn'
  if (state === 'dead') return 'bad'
  // One that ended badly by itself; 137 and 143 are what a stop leaves.
  const code = /^Exited \((\d+)\)/.exec(status)?.[1]
  return code && !['0', '137', '143'].includes(code) ? 'bad' : 'idle'
}
