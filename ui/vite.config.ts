import { svelte } from '@sveltejs/vite-plugin-svelte'
import { defineConfig } from 'vitest/config'

// The oldest WebKit that opens the page: that of macOS 13.
export default defineConfig({
  plugins: [svelte()],
  base: './',
  build: { target: 'safari16', outDir: 'dist', emptyOutDir: true, modulePreload: { polyfill: false }, assetsInlineLimit: 0 },
  test: { include: ['src/**/*.test.ts'] },
})
