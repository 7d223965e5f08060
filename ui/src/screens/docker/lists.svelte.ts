// What the machine's engine has: listed anew when the engine says that something changed, and never on a clock.
import { SvelteSet } from 'svelte/reactivity'
import { api, done, problemOf } from '../../api/client'
import type { DockerBuildRecord, DockerContainer, DockerImage, DockerKind, DockerNetwork, DockerUsage, DockerVolume, Problem } from '../../api/types'
import { toast } from '../../kit/ask.svelte'
import { MACHINE } from '../../state/cove.svelte'

export const KINDS: DockerKind[] = ['containers', 'images', 'volumes', 'networks', 'builds']

/** Between two looks at sizes, in milliseconds: the engine reads every file for them. */
const PAUSE = 10_000

/** The machine in a path. */
export const machine = { machine: MACHINE }

class Lists {
  containers: DockerContainer[] | undefined = $state.raw()
  images: DockerImage[] | undefined = $state.raw()
  volumes: DockerVolume[] | undefined = $state.raw()
  networks: DockerNetwork[] | undefined = $state.raw()
  builds: DockerBuildRecord[] | undefined = $state.raw()
  usage: DockerUsage | undefined = $state.raw()
  /** Bytes of containers by id, and of volumes by name. */
  sizes: ReadonlyMap<string, number> = $state.raw(new Map())
  /** What the last reading was refused with. */
  problem: Problem | undefined = $state.raw()
  /** What the last thing to do was refused with. */
  refused: Problem | undefined = $state.raw()
  /** Ids of what is being worked with. */
  busy = new SvelteSet<string>()

  #reading = new Set<DockerKind>()
  #again = new Set<DockerKind>()
  #measured = 0
  #measuring = false
  #due: ReturnType<typeof setTimeout> | undefined

  /** Lists a kind; while that goes on already, once more after it. */
  load(kind: DockerKind): void {
    if (this.#reading.has(kind)) {
      this.#again.add(kind)
      return
    }
    this.#reading.add(kind)
    void this.#read(kind)
      .then(
        () => (this.problem = undefined),
        (error: unknown) => (this.problem = problemOf(error)),
      )
      .finally(() => {
        this.#reading.delete(kind)
        if (this.#again.delete(kind)) this.load(kind)
      })
  }

  /** Looks at sizes, not too often unless it is to be now. */
  measure(now = false): void {
    clearTimeout(this.#due)
    const wait = now ? 0 : this.#measured + PAUSE - Date.now()
    if (wait > 0 || this.#measuring) {
      this.#due = setTimeout(() => this.measure(), Math.max(wait, 1000))
      return
    }
    this.#measuring = true
    void this.#measure()
      // Sizes are an addition: without them the lists still hold.
      .catch(() => undefined)
      .finally(() => {
        this.#measured = Date.now()
        this.#measuring = false
      })
  }

  /** Nothing is looked at any more. */
  rest(): void {
    clearTimeout(this.#due)
  }

  /** Does something with one thing, says so, and shows the refusal if there is one. */
  async act(id: string, work: () => Promise<unknown>, said: string): Promise<boolean> {
    this.busy.add(id)
    this.refused = undefined
    try {
      await work()
      toast(said)
      return true
    } catch (error) {
      this.refused = problemOf(error)
      return false
    } finally {
      this.busy.delete(id)
      for (const kind of KINDS) if (this[kind]) this.load(kind)
      this.measure(true)
    }
  }

  async #read(kind: DockerKind): Promise<void> {
    const params = { params: { path: machine } }
    if (kind === 'containers') this.containers = await done(api.GET('/v1/machines/{machine}/docker/containers', params))
    else if (kind === 'images') this.images = await done(api.GET('/v1/machines/{machine}/docker/images', params))
    else if (kind === 'volumes') this.volumes = await done(api.GET('/v1/machines/{machine}/docker/volumes', params))
    else if (kind === 'networks') this.networks = await done(api.GET('/v1/machines/{machine}/docker/networks', params))
    else this.builds = await done(api.GET('/v1/machines/{machine}/docker/builds', params))
  }

  async #measure(): Promise<void> {
    const params = { params: { path: machine, query: { sizes: true } } }
    this.usage = await done(api.GET('/v1/machines/{machine}/docker/usage', { params: { path: machine } }))
    const [containers, volumes] = await Promise.all([
      done(api.GET('/v1/machines/{machine}/docker/containers', params)),
      done(api.GET('/v1/machines/{machine}/docker/volumes', params)),
    ])
    const all = [...containers.map(({ id, size }) => [id, size] as const), ...volumes.map(({ name, size }) => [name, size] as const)]
    this.sizes = new Map(all.filter((entry): entry is [string, number] => entry[1] != null))
  }
}

export const lists = new Lists()

/** Whether all words of a search are in one of the texts. */
export function fits(search: string, ...texts: (string | null | undefined)[]): boolean {
  const text = texts.join('\n').toLowerCase()
  return search
    .toLowerCase()
    .split(/\s+/)
    .every((word) => text.includes(word))
}

/** An id as people write it. */
export function short(id: string): string {
  return id.replace(/^sha256:/, '').slice(0, 12)
}
