import { spawn } from "node:child_process";
import { once } from "node:events";
import { chmodSync, existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { afterEach, expect, it } from "vitest";

const folder = mkdtempSync(join(tmpdir(), "ocelli-main-"));
afterEach(() => rmSync(folder, { recursive: true, force: true }));

it("a second Ctrl-C forces the end of a start that hangs", async () => {
  // A program that never answers stands for a disk or a driver that does not.
  const asked = join(folder, "asked");
  for (const name of ["ffmpeg", "ffprobe"]) {
    writeFileSync(join(folder, name), `#!/bin/sh\ntouch ${asked}\nexec sleep 60\n`);
    chmodSync(join(folder, name), 0o755);
  }
  const main = fileURLToPath(new URL("main.ts", import.meta.url));
  const child = spawn(process.execPath, ["--conditions=source", main], {
    stdio: ["ignore", "pipe", "pipe"],
    env: {
      PATH: `${folder}:${process.env.PATH}`,
      OCELLI_DATA_DIR: join(folder, "data"),
      OCELLI_LISTEN: "127.0.0.1:0",
    },
  });
  const exited = once(child, "exit");
  let output = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk) => (output += chunk));
  try {
    while (!existsSync(asked) && child.exitCode === null) await sleep(20);
    child.kill("SIGINT");
    while (!output.includes("stopping") && child.exitCode === null) await sleep(20);
    // Sooner it would be taken for the same Ctrl-C, delivered twice.
    await sleep(600);
    const secondAt = performance.now();
    child.kill("SIGINT");
    const [code] = await exited;
    expect({ code, output }).toMatchObject({ code: 130 });
    // Not when the question to ffmpeg times out, after 10 s.
    expect(performance.now() - secondAt).toBeLessThan(5000);
  } finally {
    child.kill("SIGKILL");
  }
});
