import { execFile } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { expect, it } from "vitest";

// On a terminal of its own, made by Python: what a person sees and the command gets.

const program = `
import { terminalInput } from "${join(dirname(fileURLToPath(import.meta.url)), "input.ts")}";
const stop = new AbortController();
const input = terminalInput({ stdin: process.stdin, stderr: process.stderr, interrupt: () => stop.abort(new Error("interrupted")) });
try {
  const user = await input.ask("User: ");
  const password = await input.ask("Password: ", { hidden: true, signal: stop.signal });
  console.log("got " + JSON.stringify([user, password]));
} catch (error) {
  console.log("ended: " + error.message);
}
`;

const terminal = `
import json, os, pty, select, sys
node, script, steps = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
pid, fd = pty.fork()
if pid == 0:
    os.execv(node, [node, "--input-type=module", "-e", script])
seen = b""
def read():
    global seen
    if not select.select([fd], [], [], 20)[0]:
        return False
    try:
        part = os.read(fd, 65536)
    except OSError:
        return False
    seen += part
    return part != b""
for prompt, text in steps:
    while prompt.encode() not in seen:
        if not read():
            break
    os.write(fd, text.encode())
while read():
    pass
os.waitpid(pid, 0)
sys.stdout.write(seen.decode())
`;

async function typed(...steps: [prompt: string, text: string][]): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), "ocelli-input-"));
  try {
    const args = ["-c", terminal, process.execPath, program, JSON.stringify(steps)];
    const { stdout } = await promisify(execFile)("/usr/bin/python3", args, { cwd: folder });
    return stdout.replaceAll("\r", "");
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

it("shows what is typed, but not a password", async () => {
  const screen = await typed(["User: ", "anna\n"], ["Password: ", "s3cxx\u007f\u007fretü\r"]);
  expect(screen).toContain("User: anna\n");
  expect(screen).toContain('Password: \ngot ["anna","s3cretü"]\n');
});

it("ends with Ctrl-C while a password is typed", async () => {
  const screen = await typed(["User: ", "anna\n"], ["Password: ", "half\u0003"]);
  expect(screen).toContain("Password: \nended: interrupted\n");
  expect(screen).not.toContain("half");
});
