// What a made-up machine's engine has.
import type { DockerBuildRecord, DockerContainer, DockerFolder, DockerImage, DockerImageDetail, DockerNetwork, DockerUsage, DockerUse, DockerVolume } from '../src/api/types'

const BEFORE = '2026-11-25T16:20:00Z'
const EARLIER = '2026-11-27T07:42:00Z'
const ROOT = '/v1/machines/default/docker'
const id = (letter: string): string => letter.repeat(64)
const shop = { environment: 'id-shop', name: 'shop', kept: true }

function container(name: string, letter: string, more: Partial<DockerContainer>): DockerContainer {
  return { id: id(letter), name, image: 'debian:trixie', image_id: `sha256:${id('a')}`, state: 'running', status: 'Up 2 hours', created: EARLIER, ports: [], volumes: [], networks: ['bridge'], ...more }
}

const containers: DockerContainer[] = [
  container('cove-shop-1', '1', { image: 'mcr.microsoft.com/devcontainers/typescript-node:22', ports: [{ container: 3000, protocol: 'tcp' }], project: 'shop', service: 'app', owner: shop, size: 412_000_000 }),
  container('shop-db-1', '2', { image: 'postgres:17', status: 'Up 2 hours (healthy)', ports: [{ container: 5432, protocol: 'tcp', host: 5432 }], project: 'shop', service: 'db', owner: shop, volumes: ['shop_data'], size: 63_000 }),
  container('metrics-grafana-1', '3', { image: 'grafana/grafana:12.1', ports: [{ container: 3000, protocol: 'tcp', host: 3100 }], project: 'metrics', service: 'grafana', size: 3_400_000 }),
  container('metrics-loki-1', '4', { image: 'grafana/loki:3.5', state: 'restarting', status: 'Restarting (1) 4 seconds ago', project: 'metrics', service: 'loki', size: 0 }),
  container('brave_hopper', '5', { image: 'python:3.14', state: 'exited', status: 'Exited (1) 3 days ago', created: BEFORE, size: 128_000_000 }),
  container('redis', '6', { image: 'redis:8', state: 'exited', status: 'Exited (0) 2 days ago', created: BEFORE, size: 0 }),
]

function image(tag: string | undefined, letter: string, size: number, more: Partial<DockerImage> = {}): DockerImage {
  return { id: `sha256:${id(letter)}`, tags: tag ? [tag] : [], size, created: BEFORE, used_by: [], prebuild: false, ...more }
}

const images: DockerImage[] = [
  image('cove-shop:features', 'a', 1_680_000_000, { created: EARLIER, used_by: ['cove-shop-1'], owner: shop }),
  image('postgres:17', 'b', 438_000_000, { used_by: ['shop-db-1'] }),
  image('grafana/grafana:12.1', 'c', 611_000_000, { used_by: ['metrics-grafana-1'] }),
  image('cove/prebuild-shop:9f31c0', 'd', 1_702_000_000, { prebuild: true }),
  image('python:3.14', 'e', 1_020_000_000, { used_by: ['brave_hopper'] }),
  image(undefined, 'f', 912_000_000),
]

const detail: DockerImageDetail = {
  image: images[1]!,
  layers: [
    { created_by: 'CMD ["postgres"]', created: BEFORE, size: 0, comment: 'buildkit.dockerfile.v0' },
    { created_by: 'COPY docker-entrypoint.sh docker-ensure-initdb.sh /usr/local/bin/ # buildkit', created: BEFORE, size: 17_200 },
    { created_by: 'RUN /bin/sh -c set -ex; apt-get update; apt-get install -y --no-install-recommends "postgresql-$PG_MAJOR=$PG_VERSION" # buildkit', created: BEFORE, size: 311_000_000 },
    { created_by: 'RUN /bin/sh -c localedef -i en_US -c -f UTF-8 -A /usr/share/locale/locale.alias en_US.UTF-8 # buildkit', created: BEFORE, size: 25_400_000 },
    { created_by: '# debian.sh --arch \'arm64\' out/ \'trixie\'', created: BEFORE, size: 101_000_000 },
  ],
  inspect: { Id: images[1]!.id, Os: 'linux', Architecture: 'arm64', Config: { Cmd: ['postgres'], Labels: { 'org.opencontainers.image.title': 'PostgreSQL' } } },
}

const volumes: DockerVolume[] = [
  { name: 'cove-src-4f1d', driver: 'local', created: EARLIER, anonymous: false, used_by: ['cove-pipeline-1'], size: 284_000_000, owner: { environment: 'id-pipeline', name: 'pipeline', kept: true } },
  { name: 'metrics_grafana', driver: 'local', created: BEFORE, anonymous: false, used_by: ['metrics-grafana-1'], size: 12_800_000, project: 'metrics' },
  { name: 'npm-cache', driver: 'local', created: BEFORE, anonymous: false, used_by: [], size: 1_240_000_000 },
  { name: 'shop_data', driver: 'local', created: BEFORE, anonymous: false, used_by: ['shop-db-1'], size: 96_300_000, project: 'shop', owner: { ...shop, kept: false } },
  { name: id('9'), driver: 'local', created: BEFORE, anonymous: true, used_by: [], size: 41_000_000 },
]

const folder: DockerFolder = {
  path: '',
  entries: [
    { name: '_cacache', kind: 'folder', size: 0, modified: EARLIER, mode: 'rwxr-xr-x', uid: 1000, gid: 1000 },
    { name: '_logs', kind: 'folder', size: 0, modified: EARLIER, mode: 'rwxr-xr-x', uid: 1000, gid: 1000 },
    { name: '_update-notifier-last-checked', kind: 'file', size: 0, modified: BEFORE, mode: 'rw-r--r--', uid: 1000, gid: 1000 },
    { name: 'anonymous-cli-metrics.json', kind: 'file', size: 91, modified: BEFORE, mode: 'rw-r--r--', uid: 1000, gid: 1000 },
    { name: 'latest', kind: 'link', size: 6, modified: BEFORE, mode: 'rwxrwxrwx', uid: 1000, gid: 1000 },
  ],
  more: false,
}

const networks: DockerNetwork[] = [
  { id: id('7'), name: 'metrics_default', driver: 'bridge', subnets: ['172.19.0.0/16'], internal: false, builtin: false, used_by: ['metrics-grafana-1', 'metrics-loki-1'], project: 'metrics' },
  { id: id('8'), name: 'shop_default', driver: 'bridge', subnets: ['172.18.0.0/16'], internal: false, builtin: false, used_by: ['cove-shop-1', 'shop-db-1'], project: 'shop', owner: shop },
  { id: id('0'), name: 'bridge', driver: 'bridge', subnets: ['172.17.0.0/16'], internal: false, builtin: true, used_by: ['brave_hopper', 'redis'] },
]

const builds: DockerBuildRecord[] = [
  { id: 'k1', kind: 'regular', description: '[dev 3/6] RUN npm ci', size: 402_000_000, in_use: true, shared: false, created: BEFORE, last_used: EARLIER, uses: 14 },
  { id: 'k2', kind: 'exec.cachemount', description: 'cached mount /usr/local/cargo/registry from exec /bin/sh -c cargo build --release', size: 1_120_000_000, in_use: false, shared: false, created: BEFORE, last_used: BEFORE, uses: 31 },
  { id: 'k3', kind: 'source.local', description: 'local source for context', size: 8_200_000, in_use: false, shared: true, created: BEFORE, last_used: BEFORE, uses: 45 },
]

function use(count: number, bytes: number, some: [string, number][], named: [string, number][] = []): DockerUse {
  const freeable = (all: [string, number][]): DockerUse['prune'] => ({ count: all.length, bytes: all.reduce((sum, [, size]) => sum + size, 0), names: all.map(([name]) => name) })
  return { count, bytes, prune: freeable(some), prune_all: freeable([...some, ...named]) }
}

const usage: DockerUsage = {
  containers: use(6, 543_000_000, [['brave_hopper', 128_000_000], ['redis', 0]]),
  images: use(6, 4_930_000_000, [[images[5]!.id, 380_000_000]]),
  volumes: use(5, 1_674_000_000, [[id('9'), 41_000_000]], [['npm-cache', 1_240_000_000]]),
  networks: use(3, 0, []),
  builds: use(3, 1_522_000_000, [['cached mount /usr/local/cargo/registry', 1_120_000_000]]),
}

const log = ['GET /api/orders 200 12 ms', 'GET /api/orders/81 200 9 ms', 'POST /api/checkout 500 41 ms'].map((line, index) => ({ stream: index === 2 ? 'error' : 'output', line }))

/** Answers by their paths. */
export const docker: Record<string, unknown> = {
  [`${ROOT}/usage`]: usage,
  [`${ROOT}/containers`]: containers,
  [`${ROOT}/containers/${id('3')}`]: containers[2],
  [`${ROOT}/containers/${id('3')}/logs`]: log,
  [`${ROOT}/containers/${id('3')}/inspect`]: { Id: id('3'), Name: '/metrics-grafana-1', State: { Status: 'running', Running: true } },
  [`${ROOT}/images`]: images,
  [`${ROOT}/images/${encodeURIComponent(images[1]!.id)}`]: detail,
  [`${ROOT}/images/${images[1]!.id}`]: detail,
  [`${ROOT}/volumes`]: volumes,
  [`${ROOT}/volumes/npm-cache/files`]: folder,
  [`${ROOT}/networks`]: networks,
  [`${ROOT}/builds`]: builds,
}
