import { execFile } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, it } from "vitest";
import { root } from "../harness/hub.ts";

// The hub on a terminal of its own, made by Python: SIGHUP while the terminal is there, and when it is closed.

const run = promisify(execFile);
let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "ocelli-terminal-"));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const script = `
import os, pty, signal, sys
node, main, folder = sys.argv[1:]
pid, terminal = pty.fork()
if pid == 0:
    env = {"PATH": os.environ["PATH"], "OCELLI_LISTEN": "127.0.0.1:0", "OCELLI_DATA_DIR": folder, "OCELLI_DEVICES_V4L2": "false"}
    os.execve(node, [node, main], env)
def read_until(words):
    seen = b""
    while words not in seen:
        seen += os.read(terminal, 4096)
signal.alarm(25)
read_until(b"Ready")
os.kill(pid, signal.SIGHUP)
read_until(b"read the TLS certificate again")
assert os.waitpid(pid, os.WNOHANG) == (0, 0), "it ended"
os.close(terminal)
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
`;

it("reads its certificate again on SIGHUP, and stops in good order when the terminal is closed", async () => {
  const main = join(root, "packages/server/dist/main.js");
  const { stdout } = await run("python3", ["-c", script, process.execPath, main, join(folder, "data")]);
  expect(stdout.trim()).toBe("0");
});
