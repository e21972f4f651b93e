import { existsSync } from "node:fs";
import { type Browser, chromium } from "playwright-core";
import { mustSkip } from "./must-skip.ts";

/** The browser that Debian packages, or the one OCELLI_TEST_CHROMIUM names. */
const path = process.env.OCELLI_TEST_CHROMIUM ?? "/usr/bin/chromium";

export const hasChromium = existsSync(path);

export function chromiumMustSkip(): boolean {
  return mustSkip(`Chromium (${path})`, hasChromium);
}

/** @param args beside those that keep it from the network and from what this machine need not have */
export function launchChromium(args: readonly string[] = []): Promise<Browser> {
  const quiet = ["background-networking", "component-update", "sync", "gpu", "quic"];
  return chromium.launch({
    executablePath: path,
    args: ["--no-sandbox", "--no-first-run", ...quiet.map((it) => `--disable-${it}`), ...args],
  });
}
