import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { Rpc } from "./rpc.ts";

/** Runs the built hub as users do: a process of its own, a free port, a data folder in a temporary place. */

export const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
export const adminKey = "test_admin_key_0123456789_0123456789_ABCDEFGH";

export interface HubOptions {
  /** `undefined` takes a default of the harness away. */
  readonly env?: Record<string, string | undefined>;
  /** Kept after `stop()`; a temporary one is made and removed otherwise. */
  readonly dataDir?: string;
  readonly args?: readonly string[];
  /** For Node itself; an IPC channel is opened for what they load. */
  readonly nodeArgs?: readonly string[];
}

export interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

export class RunningHub implements AsyncDisposable {
  readonly process: ChildProcess;
  readonly dataDir: string;
  readonly output: string[];
  readonly exited: Promise<Exit>;
  readonly port: number;
  readonly #ownsFolder: boolean;
  readonly #scheme: string;

  constructor(
    process: ChildProcess,
    dataDir: string,
    output: string[],
    exited: Promise<Exit>,
    port: number,
    ownsFolder: boolean,
    scheme = "http",
  ) {
    this.process = process;
    this.dataDir = dataDir;
    this.output = output;
    this.exited = exited;
    this.port = port;
    this.#ownsFolder = ownsFolder;
    this.#scheme = scheme;
  }

  get pid(): number {
    const { pid } = this.process;
    if (pid === undefined) throw new Error("the hub has no pid");
    return pid;
  }

  get url(): string {
    return `${this.#scheme}://127.0.0.1:${this.port}`;
  }

  rpc(key: string | undefined = adminKey, query = ""): Promise<Rpc> {
    return Rpc.connect(`ws://127.0.0.1:${this.port}/ws${query}`, key);
  }

  fetch(path: string, init: RequestInit = {}): Promise<Response> {
    return fetch(`${this.url}${path}`, { ...init, headers: { "x-api-key": adminKey, ...init.headers } });
  }

  file(kind: "recordings" | "snapshots", name: string): string {
    return join(this.dataDir, kind, name);
  }

  /** Pids of the ffmpeg processes of this hub, found by their parent. */
  ffmpegs(): number[] {
    return childrenOf(this.pid, "ffmpeg");
  }

  /** How far back the frames reach that the hub keeps in memory of a camera, as its metrics say. */
  async ringSeconds(camera: string): Promise<number> {
    const metrics = await (await this.fetch("/metrics")).text();
    const line = metrics
      .split("\n")
      .find((text) => text.startsWith(`ocelli_camera_ring_seconds{camera="${camera}"}`));
    return Number(line?.split(" ").at(-1));
  }

  /** Sends the signal and waits for the end. */
  async end(signal: NodeJS.Signals = "SIGTERM"): Promise<Exit> {
    this.process.kill(signal);
    return this.exited;
  }

  async stop(): Promise<void> {
    if (this.process.exitCode === null && this.process.signalCode === null) {
      const timer = setTimeout(() => this.process.kill("SIGKILL"), 40_000);
      await this.end("SIGTERM");
      clearTimeout(timer);
    }
    if (this.#ownsFolder) rmSync(this.dataDir, { recursive: true, force: true });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }
}

export function childrenOf(parent: number, command: string): number[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => {
      try {
        const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
        const [, name, rest = ""] = /^\d+ \((.*)\) (.*)$/s.exec(stat) ?? [];
        const [state, ppid] = rest.split(" ");
        return name === command && Number(ppid) === parent && state !== "Z";
      } catch {
        return false;
      }
    })
    .map(Number);
}

export function alive(pid: number): boolean {
  try {
    return !/^\d+ \(.*\) Z/s.test(readFileSync(`/proc/${pid}/stat`, "utf8"));
  } catch {
    return false;
  }
}

/** Waits until `probe` gives something other than undefined or false, asking often. */
export async function until<T>(
  what: string,
  probe: () => T | undefined | false | Promise<T | undefined | false>,
  timeoutMs = 30_000,
): Promise<T> {
  const deadline = Date.now() + timeoutMs;
  for (;;) {
    const value = await probe();
    if (value !== undefined && value !== false) return value;
    if (Date.now() > deadline) throw new Error(`${what}: not within ${timeoutMs} ms`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** Settings of a hub with virtual cameras (`camera100`, `camera101`, …) and no others. Not given: as hubs have it. */
export function virtualCameras(
  pattern: { count?: number; size?: string; fps?: number; codec?: string } = {},
): Record<string, string | undefined> {
  return {
    OCELLI_DEVICES_V4L2: "false",
    OCELLI_VIRTUAL_CAMERA: "always",
    OCELLI_VIRTUAL_COUNT: pattern.count?.toString(),
    OCELLI_VIRTUAL_SIZE: pattern.size,
    OCELLI_VIRTUAL_FPS: pattern.fps?.toString(),
    OCELLI_VIRTUAL_CODEC: pattern.codec,
  };
}

/** Starts a hub and waits until it says that it is ready. */
export async function startHub(options: HubOptions = {}): Promise<RunningHub> {
  const dataDir = options.dataDir ?? mkdtempSync(join(tmpdir(), "ocelli-hub-"));
  const output: string[] = [];
  const child = spawn(
    join(root, "node_modules/.bin/node"),
    [
      // As `hubNodeOptions` in scripts/prepare.mjs.
      "--max-semi-space-size=2",
      ...(options.nodeArgs ?? []),
      join(root, "packages/server/dist/main.js"),
      ...(options.args ?? []),
    ],
    {
      cwd: dataDir,
      stdio: ["ignore", "pipe", "pipe", ...(options.nodeArgs === undefined ? [] : (["ipc"] as const))],
      env: {
        PATH: process.env.PATH,
        HOME: process.env.HOME,
        OCELLI_LISTEN: "127.0.0.1:0",
        OCELLI_DATA_DIR: dataDir,
        OCELLI_ADMIN_KEY: adminKey,
        OCELLI_LOG_LEVEL: "info",
        OCELLI_STORAGE_LOW_MEGABYTES: "0",
        OCELLI_STORAGE_CRITICAL_MEGABYTES: "0",
        ...options.env,
      },
    },
  );
  const exited = new Promise<Exit>((resolve) =>
    child.on("close", (code, signal) => resolve({ code, signal })),
  );
  const ready = Promise.withResolvers<{ port: number; scheme: string }>();
  const { stdout, stderr } = child;
  if (stdout === null || stderr === null) throw new Error("the hub has no output");
  createInterface({ input: stderr }).on("line", (line) => output.push(line));
  createInterface({ input: stdout }).on("line", (line) => {
    output.push(line);
    const [, scheme = "", port] = /(https?):\/\/127\.0\.0\.1:(\d+)\//.exec(line) ?? [];
    if (port !== undefined) ready.resolve({ port: Number(port), scheme });
  });
  void exited.then(({ code, signal }) =>
    ready.reject(new Error(`the hub ended before it was ready (${code ?? signal}):\n${output.join("\n")}`)),
  );
  const { port, scheme } = await ready.promise;
  return new RunningHub(child, dataDir, output, exited, port, options.dataDir === undefined, scheme);
}
