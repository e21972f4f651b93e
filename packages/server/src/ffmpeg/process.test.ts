import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, it } from "vitest";
import { SystemClock } from "../clock/system-clock.ts";
import { spawnFfmpeg } from "./process.ts";

const clock = new SystemClock();
afterAll(() => clock.close());

const directory = mkdtempSync(join(tmpdir(), "ocelli-process-"));

function script(name: string, body: string): string {
  const path = join(directory, name);
  writeFileSync(path, `#!/bin/sh\n${body}\n`, { mode: 0o755 });
  return path;
}

function isRunning(pid: number): boolean {
  try {
    // A zombie is gone for all that matters: only its parent has not asked yet.
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
  } catch {
    return false;
  }
}

async function untilGone(pid: number): Promise<void> {
  const deadline = process.hrtime.bigint() + 10_000_000_000n;
  while (isRunning(pid)) {
    if (process.hrtime.bigint() > deadline) throw new Error(`process ${pid} is still running`);
    await clock.sleep(20);
  }
}

function bytesWritten(pid: number): number {
  return Number(/^wchar: (\d+)$/m.exec(readFileSync(`/proc/${pid}/io`, "utf8"))?.[1]);
}

const live = ["-re", "-f", "lavfi", "-i", "anullsrc", "-f", "s16le", "pipe:1"];

describe("spawnFfmpeg", () => {
  it("asks a live ffmpeg to quit, and it does", async () => {
    const child = spawnFfmpeg({ clock, args: live });
    await once(child.stdout, "data");
    const first = child.stop();
    expect(child.stop()).toBe(first);
    const exit = await first;
    expect(exit).toMatchObject({ code: 255, signal: null, requested: true });
    expect(isRunning(child.pid ?? 0)).toBe(false);
  });

  it("kills a process that ignores every request", async () => {
    const program = script("stubborn", "trap '' INT TERM; echo ready; while :; do sleep 0.05; done");
    const child = spawnFfmpeg({ clock, program, quietArgs: false, args: [], quitMs: 50, termMs: 50 });
    await once(child.stdout, "data");
    expect(await child.stop()).toMatchObject({ signal: "SIGKILL", requested: true });
  });

  it("kills a stopped process", async () => {
    const child = spawnFfmpeg({ clock, args: live, quitMs: 50, termMs: 50 });
    await once(child.stdout, "data");
    process.kill(child.pid ?? 0, "SIGSTOP");
    expect(await child.stop()).toMatchObject({ signal: "SIGKILL" });
  });

  it("settles although nobody reads the output", async () => {
    const child = spawnFfmpeg({ clock, args: ["-f", "lavfi", "-i", "anullsrc", "-f", "s16le", "pipe:1"] });
    // What a pipe holds.
    while (bytesWritten(child.pid ?? 0) < 65_536) await clock.sleep(20);
    child.kill();
    expect(await child.exited).toMatchObject({ signal: "SIGKILL" });
  });

  it("keeps the last lines of stderr, without secrets", async () => {
    const program = script(
      "noisy",
      'for i in 1 2 3 4 5; do echo "line $i of $1" >&2; done; printf "end %s" "$1" >&2; exit 3',
    );
    const lines: string[] = [];
    const child = spawnFfmpeg({
      clock,
      program,
      quietArgs: false,
      args: ["rtsp://me:pass/word@cam/x"],
      stderrLines: 3,
      onStderrLine: (line) => lines.push(line),
    });
    child.stdout.resume();
    const exit = await child.exited;
    expect(exit).toMatchObject({ code: 3, requested: false });
    expect(exit.stderrTail).toEqual([
      "line 4 of rtsp://***@cam/x",
      "line 5 of rtsp://***@cam/x",
      "end rtsp://***@cam/x",
    ]);
    expect(lines).toHaveLength(6);
  });

  it("names a missing program and how to install it", () => {
    expect(() => spawnFfmpeg({ clock, program: "ffmpeg-that-is-not-there", args: [] })).toThrow(
      /ffmpeg-that-is-not-there was not found.*apt-get install ffmpeg/,
    );
  });

  it("survives arguments no program can be given", async () => {
    const child = spawnFfmpeg({ clock, args: ["-i", "a\0b"] });
    const exit = await child.exited;
    expect(exit.code).toBeNull();
    expect(exit.stderrTail.join()).toMatch(/null bytes/);
    expect((await child.stop()).code).toBeNull();
  });

  it("is in a process group of its own", async () => {
    const child = spawnFfmpeg({ clock, args: live });
    await once(child.stdout, "data");
    const fields = readFileSync(`/proc/${child.pid}/stat`, "utf8").split(") ")[1]?.split(" ") ?? [];
    expect(Number(fields[2])).toBe(child.pid);
    child.kill();
    await child.exited;
  });

  it("leaves no ffmpeg behind when the hub is killed", async () => {
    const hub = spawn(
      process.execPath,
      ["--conditions=source", fileURLToPath(new URL("./testing/hub.ts", import.meta.url))],
      {
        stdio: ["ignore", "pipe", "inherit"],
      },
    );
    const [line] = (await once(hub.stdout, "data")) as [Buffer];
    const pid = Number(line.toString());
    expect(isRunning(pid)).toBe(true);
    hub.kill("SIGKILL");
    await once(hub, "exit");
    await untilGone(pid);
  });
});
