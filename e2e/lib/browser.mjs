// Headless Chromium from the system's packages.

import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";

import { chromium } from "playwright-core";

import { OUT } from "./process.mjs";

const SHOTS = join(OUT, "screenshots");

// launch starts a browser with an empty profile that asks nothing of the Internet.
// The options are Playwright's for a context.
export async function launch(options = {}) {
  const profile = mkdtempSync(join(OUT, "chromium-"));
  const context = await chromium.launchPersistentContext(profile, {
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    headless: true,
    chromiumSandbox: false,
    viewport: { width: 900, height: 700 },
    ...options,
    args: [
      "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
      "--disable-component-update", "--disable-sync",
    ],
  });
  const close = async () => {
    await context.close();
    rmSync(profile, { recursive: true, force: true });
  };
  return { context, close };
}

// shoot saves what a page shows.
export async function shoot(page, name) {
  mkdirSync(SHOTS, { recursive: true });
  await page.screenshot({ path: join(SHOTS, `${name}.png`) });
}
