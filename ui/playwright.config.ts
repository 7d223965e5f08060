import { defineConfig } from '@playwright/test'

/** Set where a machine really boots, which takes minutes where it is emulated; its cases are their own. */
const machine = Boolean(process.env['COVE_TEST_MACHINE'])

// One daemon serves all cases, so they come one after the other; each cleans up after itself.
export default defineConfig({
  testDir: './tests',
  // The console's cases have a server of their own.
  [machine ? 'testMatch' : 'testIgnore']: machine ? 'in-a-machine/**' : ['in-a-machine/**', 'control/**'],
  workers: 1,
  fullyParallel: false,
  timeout: machine ? 900_000 : 120_000,
  expect: { timeout: 30_000, toHaveScreenshot: { maxDiffPixelRatio: 0.02, animations: 'disabled', caret: 'hide' } },
  forbidOnly: true,
  // A case that only a second try passes is told as flaky, and stops nobody else's work.
  retries: process.env['CI'] ? 1 : 0,
  reporter: [['list']],
  snapshotPathTemplate: '{testDir}/snapshots/{arg}{ext}',
  use: {
    browserName: 'chromium',
    locale: 'en-US',
    timezoneId: 'UTC',
    viewport: { width: 1200, height: 800 },
    trace: 'off',
    launchOptions: {
      executablePath: '/usr/bin/chromium',
      args: ['--no-sandbox', '--disable-gpu', '--disable-background-networking', '--disable-component-update', '--disable-sync', '--no-first-run', '--font-render-hinting=none'],
    },
  },
})
