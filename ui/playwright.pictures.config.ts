import { defineConfig } from '@playwright/test'
import cases from './playwright.config'

// The pictures of the documentation: `cargo xtask ui --screenshots`.
export default defineConfig(cases, { testDir: './pictures', testIgnore: '*.control.spec.ts' })
