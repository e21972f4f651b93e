/** Where files of sessions are made and arrive before they are entries of the library. */
import { existsSync, readdirSync, rmdirSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";

const alignPrefix = "align-";
const fetchPrefix = "fetch-";

export function alignFolder(root: string, sessionId: string): string {
  return join(root, `${alignPrefix}${sessionId}`);
}

/** One for each device: they come in side by side. */
export function fetchFolder(root: string, stem: string): string {
  return join(root, `${fetchPrefix}${stem}`);
}

/**
 * Removes what a hub that was killed had begun: cuts, as large as the recordings and nobody's, and parts of transfers.
 * A file that came in whole stays: some devices delete theirs once they have sent it.
 */
export function removeUnfinished(root: string): void {
  if (!existsSync(root)) return;
  for (const name of readdirSync(root)) {
    const folder = join(root, name);
    if (name.startsWith(alignPrefix)) rmSync(folder, { recursive: true, force: true });
    if (!name.startsWith(fetchPrefix)) continue;
    const files = readdirSync(folder);
    // A transfer under way has an empty file, too, which keeps the name for it.
    const parts = files.filter(
      (file) => /^\..*\.part$/.test(file) || statSync(join(folder, file)).size === 0,
    );
    for (const file of parts) rmSync(join(folder, file), { force: true });
    if (parts.length === files.length) rmdirSync(folder);
  }
}
