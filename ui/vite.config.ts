import { svelte } from '@sveltejs/vite-plugin-svelte'
import { gzipSync } from 'node:zlib'
import type { Plugin } from 'vite'
import { defineConfig } from 'vitest/config'

/** Bytes of all scripts, compressed, that the page may have. */
const BUDGET = 300_000

const budget: Plugin = {
  name: 'budget',
  generateBundle(_, bundle) {
    const scripts = Object.values(bundle).filter((file) => file.type === 'chunk')
    const bytes = scripts.reduce((sum, { code }) => sum + gzipSync(code).length, 0)
    this.info(`${bytes} bytes of scripts with gzip, of ${BUDGET}`)
    if (bytes > BUDGET) this.error(`the page's scripts have ${bytes} bytes with gzip; ${BUDGET} are allowed`)
  },
}

// The oldest WebKit that opens the page: that of macOS 13.
export default defineConfig({
  plugins: [svelte(), budget],
  base: './',
  build: { target: 'safari16', outDir: 'dist', emptyOutDir: true, modulePreload: { polyfill: false }, assetsInlineLimit: 0 },
  test: { include: ['src/**/*.test.ts'] },
})
