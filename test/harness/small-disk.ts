import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { mustSkip } from "./must-skip.ts";

/** A disk of a few megabytes, to fill up: a tmpfs. What makes it needs the right to mount. */
export class SmallDisk implements Disposable {
  readonly path: string;

  /** @param size as mount takes it: `24m` */
  constructor(size: string) {
    this.path = mkdtempSync(join(tmpdir(), "ocelli-disk-"));
    try {
      execFileSync("mount", ["-t", "tmpfs", "-o", `size=${size}`, "tmpfs", this.path]);
    } catch (error) {
      rmSync(this.path, { recursive: true });
      throw error;
    }
  }

  [Symbol.dispose](): void {
    // Lazily, so that a test that failed leaves nothing behind.
    execFileSync("umount", ["-l", this.path]);
    rmSync(this.path, { recursive: true, force: true });
  }
}

export function smallDisksMustSkip(): boolean {
  const canMount = (): boolean => {
    try {
      new SmallDisk("1m")[Symbol.dispose]();
      return true;
    } catch {
      return false;
    }
  };
  return mustSkip("the right to mount a disk", canMount());
}
