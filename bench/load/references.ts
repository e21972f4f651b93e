/** The servers the hub is compared with: each a process of its own that answers everything with given bytes. */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { installed } from "../lib/install.ts";
import { probeArgs } from "./probed.ts";

export class ReferenceServer implements AsyncDisposable {
  readonly process: ChildProcess;
  readonly port: number;

  constructor(process: ChildProcess, port: number) {
    this.process = process;
    this.port = port;
  }

  get pid(): number {
    return this.process.pid ?? 0;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.process.exitCode !== null || this.process.signalCode !== null) return;
    const exited = new Promise((resolve) => this.process.once("exit", resolve));
    this.process.kill("SIGKILL");
    await exited;
  }
}

const file = (name: string): string => fileURLToPath(new URL(name, import.meta.url));

/** Node with the `ws` package and nothing else. Can be asked with `askProbe`. */
export function startBareWs(answer: string): Promise<ReferenceServer> {
  return start(process.execPath, [...probeArgs, file("./reference-ws.ts")], answer, true);
}

/** Debian's python3 with websockets and uvloop; see `installPythonServer`. */
export function startPythonServer(answer: string): Promise<ReferenceServer> {
  return start("/usr/bin/python3", [file("./reference_websockets.py")], answer, false);
}

/** @returns what is missing, in words, or `undefined` */
export function installPythonServer(): string | undefined {
  const isThere = (): boolean =>
    spawnSync("/usr/bin/python3", ["-c", "import websockets, uvloop"]).status === 0;
  return installed(["python3-websockets", "python3-uvloop"], isThere);
}

async function start(
  command: string,
  args: readonly string[],
  answer: string,
  ipc: boolean,
): Promise<ReferenceServer> {
  const child = spawn(command, args, {
    // They end when their input does: with the bench, however that ends.
    stdio: ["pipe", "pipe", "inherit", ...(ipc ? (["ipc"] as const) : [])],
    env: { ...process.env, ANSWER: answer },
  });
  if (child.stdout === null) throw new Error("a reference server has no output");
  for await (const line of createInterface({ input: child.stdout })) {
    const port = /^port (\d+)$/.exec(line)?.[1];
    if (port !== undefined) return new ReferenceServer(child, Number(port));
  }
  throw new Error(`${command} ${args.join(" ")} ended before it served`);
}
