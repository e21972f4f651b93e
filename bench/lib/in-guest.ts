import { mkdtempSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { runInGuest } from "../../test/v4l2/guest.mjs";

export interface GuestRun<Result> {
  readonly result: Result;
  /** What was `/mnt/share` in the guest; goes with the bench's folder. */
  readonly shareDir: string;
}

/**
 * Runs one of the programs `bench/guest-*.ts` in the V4L2 guest, with `ROUNDS` and `RESULT` (a file for
 * its JSON) in the environment.
 * @throws Error with the guest's output
 */
export async function runBenchInGuest<Result>(
  program: string,
  rounds: number,
  folder: string,
  timeoutMs: number,
): Promise<GuestRun<Result>> {
  const shareDir = mkdtempSync(join(folder, "guest-"));
  const { exitCode, output } = await runInGuest({
    command: ["node_modules/.bin/node", `bench/${program}`],
    env: { ROUNDS: String(rounds), RESULT: "/mnt/share/result.json" },
    shareDir,
    timeoutMs,
    memoryMb: 2048,
  });
  if (exitCode !== 0) throw new Error(`the guest failed:\n${output}`);
  return { result: JSON.parse(readFileSync(join(shareDir, "result.json"), "utf8")) as Result, shareDir };
}
