import { defineConfig } from '@playwright/test'
import cases from './playwright.config'

// The console of the control plane: `cargo test -p control-plane --test server console`.
export default defineConfig(cases, {
  testDir: './tests/control',
  testIgnore: [],
  timeout: 60_000,
  expect: { timeout: 10_000 },
  // Its certificate is of an authority of its own, as everywhere.
  use: { ignoreHTTPSErrors: true },
})
