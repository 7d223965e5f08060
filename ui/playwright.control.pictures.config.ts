import { defineConfig } from '@playwright/test'
import cases from './playwright.control.config'

// The picture of the console in the documentation: `cargo xtask ui --screenshots`.
export default defineConfig(cases, { testDir: './pictures', testMatch: '*.control.spec.ts' })
