// What can be done with one thing, with the question before it where something is lost.
import { api, done } from '../../api/client'
import type { DockerContainer, DockerImage, DockerNetwork, DockerVolume } from '../../api/types'
import { confirm } from '../../kit/ask.svelte'
import { bytes } from '../../words/format'
import { words } from '../../words/index.svelte'
import { lists, machine, short } from './lists.svelte'

/** Whether it can be started, rather than stopped. */
export function isOver({ state }: DockerContainer): boolean {
  return state === 'created' || state === 'exited' || state === 'dead'
}

export function start({ id, name }: DockerContainer): Promise<boolean> {
  const call = (): Promise<unknown> => done(api.POST('/v1/machines/{machine}/docker/containers/{container}/start', { params: { path: { ...machine, container: id } } }))
  return lists.act(id, call, words.docker.started(name))
}

export function stop({ id, name }: DockerContainer): Promise<boolean> {
  const call = (): Promise<unknown> => done(api.POST('/v1/machines/{machine}/docker/containers/{container}/stop', { params: { path: { ...machine, container: id } } }))
  return lists.act(id, call, words.docker.stopped(name))
}

export function restart({ id, name }: DockerContainer): Promise<boolean> {
  const call = (): Promise<unknown> => done(api.POST('/v1/machines/{machine}/docker/containers/{container}/restart', { params: { path: { ...machine, container: id } } }))
  return lists.act(id, call, words.docker.started(name))
}

/** `true` once it is gone. */
export async function removeContainer(container: DockerContainer): Promise<boolean> {
  const { ask, removed, removedFreed } = words.docker
  const size = lists.sizes.get(container.id)
  const text = [ask.containerLost]
  if (!isOver(container)) text.unshift(ask.containerRuns)
  if (size) text.push(ask.frees(bytes(size)))
  if (!(await confirm({ title: ask.container(container.name), text, action: words.common.remove, danger: true }))) return false
  const params = { path: { ...machine, container: container.id }, query: { force: !isOver(container) } }
  const said = size ? removedFreed(container.name, bytes(size)) : removed(container.name)
  return lists.act(container.id, () => done(api.DELETE('/v1/machines/{machine}/docker/containers/{container}', { params })), said)
}

/** The name that people know an image by. */
export function called({ id, tags }: DockerImage): string {
  return tags[0] ?? short(id)
}

/** `true` once it is gone. */
export async function removeImage(image: DockerImage): Promise<boolean> {
  const { ask, removed } = words.docker
  const text = [ask.imageLost, ask.freesUpTo(bytes(image.size))]
  const several = image.tags.length > 1
  if (several) text.unshift(image.tags.join(', '))
  if (!(await confirm({ title: ask.image(called(image)), text, action: several ? ask.imageForce : words.common.remove, danger: true }))) return false
  if (image.prebuild) {
    const call = (): Promise<unknown> => done(api.DELETE('/v1/prebuilds', { params: { query: { image: called(image) } } }))
    return lists.act(image.id, call, removed(called(image)))
  }
  // What a container was made of stays, however it is asked for.
  const params = { path: { ...machine, image: image.id }, query: { force: several && image.used_by.length === 0 } }
  return lists.act(image.id, () => done(api.DELETE('/v1/machines/{machine}/docker/images/{image}', { params })), removed(called(image)))
}

/** `true` once it is gone. */
export async function removeVolume({ name }: DockerVolume): Promise<boolean> {
  const { ask, removed, removedFreed } = words.docker
  const size = lists.sizes.get(name)
  const text = size ? [ask.volumeLost, ask.frees(bytes(size))] : [ask.volumeLost]
  if (!(await confirm({ title: ask.volume(name), text, action: words.common.remove, danger: true }))) return false
  const params = { path: { ...machine, volume: name } }
  const said = size ? removedFreed(name, bytes(size)) : removed(name)
  return lists.act(name, () => done(api.DELETE('/v1/machines/{machine}/docker/volumes/{volume}', { params })), said)
}

/** `true` once it is gone. */
export async function removeNetwork({ id, name }: DockerNetwork): Promise<boolean> {
  const { ask, removed } = words.docker
  if (!(await confirm({ title: ask.network(name), text: [ask.networkLost], action: words.common.remove, danger: true }))) return false
  const params = { path: { ...machine, network: id } }
  return lists.act(id, () => done(api.DELETE('/v1/machines/{machine}/docker/networks/{network}', { params })), removed(name))
}
