import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import puppeteer, { type Browser } from "puppeteer-core"

const ARGUMENTS = [
  "--headless",
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  "--ignore-certificate-errors",
]

/** A headless Chromium that has never been used before. */
export interface TestBrowser {
  readonly browser: Browser
  close(): Promise<void>
}

export async function startBrowser(): Promise<TestBrowser> {
  const userDataDir = mkdtempSync(join(tmpdir(), "gatehouse-chromium-"))
  const executablePath = Bun.which("chromium")
  if (executablePath === null) throw new Error("this test needs the Debian package chromium")
  const browser = await puppeteer.launch({ executablePath, userDataDir, args: ARGUMENTS })
  return {
    browser,
    async close() {
      await browser.close()
      // Its helpers may write for a moment after it has ended.
      rmSync(userDataDir, { recursive: true, force: true, maxRetries: 10, retryDelay: 50 })
    },
  }
}
