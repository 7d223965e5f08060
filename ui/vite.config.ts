import { svelte } from '@sveltejs/vite-plugin-svelte'
import { gzipSync } from 'node:zlib'
import type { Plugin } from 'vite'
import { defineConfig } from 'vitest/config'

/** The pages: the daemon's, and with `--mode control` the console of the control plane, which shares its parts. */
const PAGES = {
  page: { input: 'index.html', outDir: 'dist', budget: 300_000 },
  control: { input: 'control.html', outDir: 'dist-control', budget: 70_000 },
}

/** `most` bytes of scripts, compressed, may a page have. */
const budget = (most: number): Plugin => ({
  name: 'budget',
  generateBundle(_, bundle) {
    const scripts = Object.values(bundle).filter((file) => file.type === 'chunk')
    const bytes = scripts.reduce((sum, { code }) => sum + gzipSync(code).length, 0)
    this.info(`${bytes} bytes of scripts with gzip, of ${most}`)
    if (bytes > most) this.error(`the page's scripts have ${bytes} bytes with gzip; ${most} are allowed`)
  },
})

// The oldest WebKit that opens a page: that of macOS 13.
export default defineConfig(({ mode }) => {
  const { input, outDir, budget: most } = PAGES[mode === 'control' ? 'control' : 'page']
  return {
    plugins: [svelte(), budget(most)],
    base: './',
    build: { target: 'safari16', outDir, emptyOutDir: true, modulePreload: { polyfill: false }, assetsInlineLimit: 0, rollupOptions: { input } },
    test: { include: ['src/**/*.test.ts'] },
  }
})
