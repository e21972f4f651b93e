/** MultiCam peers of other make, in Python: a controller and a device, each a process of its own. */
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { root } from "./hub.ts";

type Facts = Record<string, unknown>;

/** A Python script that says one JSON object a line. Ends when its input ends. */
export class PythonPeer implements AsyncDisposable {
  readonly #child;
  readonly #lines: Facts[] = [];
  readonly #watchers = new Set<() => void>();
  readonly #exited: Promise<void>;
  readonly complaints: string[] = [];

  constructor(script: string, args: readonly string[]) {
    this.#child = spawn("/usr/bin/python3", ["-B", join(root, "test/clients", script), ...args], {
      stdio: ["pipe", "pipe", "pipe"],
    });
    this.#child.stdin.on("error", () => undefined);
    createInterface({ input: this.#child.stderr }).on("line", (line) => this.complaints.push(line));
    createInterface({ input: this.#child.stdout }).on("line", (line) => {
      this.#lines.push(JSON.parse(line) as Facts);
      this.#changed();
    });
    this.#exited = new Promise((resolve) =>
      this.#child.on("close", () => {
        resolve();
        this.#changed();
      }),
    );
  }

  get lines(): readonly Facts[] {
    return this.#lines;
  }

  get exited(): Promise<void> {
    return this.#exited;
  }

  send(request: Facts): void {
    this.#child.stdin.write(`${JSON.stringify(request)}\n`);
  }

  /** The first line that fits, said already or to come. */
  async line(what: string, fits: (facts: Facts) => boolean, from = 0): Promise<Facts> {
    const find = () => this.#lines.slice(from).find(fits);
    const found = find();
    if (found !== undefined) return found;
    return new Promise((resolve, reject) => {
      const finish = (done: () => void): void => {
        clearTimeout(timer);
        this.#watchers.delete(watch);
        done();
      };
      const gone = (why: string) => () =>
        reject(new Error(`${what}: ${why}\n${this.complaints.join("\n")}\n${JSON.stringify(this.#lines)}`));
      const timer = setTimeout(() => finish(gone("not within 60 s")), 60_000);
      const watch = (): void => {
        const now = find();
        if (now !== undefined) finish(() => resolve(now));
        else if (this.#child.exitCode !== null || this.#child.signalCode !== null) finish(gone("it ended"));
      };
      this.#watchers.add(watch);
      watch();
    });
  }

  kill(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.stdin.end();
    this.#child.kill("SIGKILL");
    await this.#exited;
  }

  #changed(): void {
    for (const watch of [...this.#watchers]) watch();
  }
}

/** `test/clients/multicam_controller.py`, against one device. */
export class PythonController extends PythonPeer {
  #asked = 0;

  constructor(port: number, host = "127.0.0.1") {
    super("multicam_controller.py", [host, String(port)]);
  }

  async ask(request: Facts): Promise<Facts> {
    const turn = this.#asked++;
    this.send(request);
    await this.line(`the answer to ${JSON.stringify(request)}`, (facts) => this.lines[turn] === facts);
    return this.lines[turn] ?? {};
  }

  command(command: string, more: Facts = {}): Promise<Facts> {
    return this.ask({ do: "send", command, ...more });
  }
}

/** `test/clients/multicam_device.py`. */
export class PythonDevice extends PythonPeer {
  #port = 0;

  get port(): number {
    return this.#port;
  }

  /** What it was sent, oldest first. */
  get commands(): readonly string[] {
    return this.lines.flatMap(({ seen }) =>
      typeof seen === "object" && seen !== null && "command" in seen ? [String(seen.command)] : [],
    );
  }

  static async start(
    video: string,
    options: { dialect?: "v2" | "v1" | "prose"; id?: string; habits?: readonly string[] } = {},
  ): Promise<PythonDevice> {
    const { dialect = "v2", id = "Mountain-A1B2C3D4", habits = [] } = options;
    const device = new PythonDevice("multicam_device.py", [
      ...["--video", video, "--dialect", dialect, "--id", id],
      ...habits.flatMap((habit) => ["--habit", habit]),
    ]);
    const { port } = await device.line("its port", (facts) => "port" in facts);
    device.#port = Number(port);
    return device;
  }
}

/** A small H.264 file as phones make them. */
export function makePhoneVideo(path: string, seconds = 1): void {
  execFileSync("ffmpeg", [
    ...["-v", "error", "-y", "-f", "lavfi", "-i", `testsrc=size=320x240:rate=30:duration=${seconds}`],
    ...["-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", path],
  ]);
}

/** `test/clients/ntp_responder.py`. */
export class PythonTimeServer extends PythonPeer {
  #port = 0;

  /** As `clock.ntpServers` wants it. */
  get address(): string {
    return `127.0.0.1:${this.#port}`;
  }

  static async start(...args: readonly string[]): Promise<PythonTimeServer> {
    const server = new PythonTimeServer("ntp_responder.py", args);
    const { port } = await server.line("its port", (facts) => "port" in facts);
    server.#port = Number(port);
    return server;
  }
}

/** A bare connection, for what no decent controller does. */
export class RawConnection implements AsyncDisposable {
  readonly socket: Socket;
  readonly ended: Promise<void>;
  #received = Buffer.alloc(0);
  #changed = Promise.withResolvers<void>();

  private constructor(socket: Socket) {
    this.socket = socket;
    socket.setNoDelay(true);
    socket.on("error", () => undefined);
    socket.on("data", (chunk: Buffer) => {
      this.#received = Buffer.concat([this.#received, chunk]);
      this.#wake();
    });
    this.ended = new Promise((resolve) => {
      socket.on("end", resolve).on("close", () => resolve());
    });
    void this.ended.then(() => this.#wake());
  }

  static async open(port: number): Promise<RawConnection> {
    const socket = connect({ port, host: "127.0.0.1", allowHalfOpen: true });
    await once(socket, "connect");
    return new RawConnection(socket);
  }

  get received(): Buffer {
    return this.#received;
  }

  /** Waits until it fits what came so far. */
  async until(fits: (received: Buffer) => boolean): Promise<Buffer> {
    while (!fits(this.#received)) {
      if (this.socket.readableEnded || this.socket.destroyed) {
        throw new Error(
          `the connection ended after ${JSON.stringify(this.#received.toString().slice(0, 500))}`,
        );
      }
      await this.#changed.promise;
    }
    return this.#received;
  }

  /** The first so many answers, one a line. */
  async replies(count: number): Promise<Facts[]> {
    const text = await this.until((bytes) => bytes.toString().split("\n").length > count);
    return text
      .toString()
      .split("\n", count)
      .map((line) => JSON.parse(line) as Facts);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.socket.destroy();
  }

  #wake(): void {
    this.#changed.resolve();
    this.#changed = Promise.withResolvers();
  }
}

/** `test/clients/upload_receiver.py`. */
export class PythonStorage extends PythonPeer {
  #port = 0;

  get port(): number {
    return this.#port;
  }

  static async start(...args: readonly string[]): Promise<PythonStorage> {
    const storage = new PythonStorage("upload_receiver.py", args);
    const { port } = await storage.line("its port", (facts) => "port" in facts);
    storage.#port = Number(port);
    return storage;
  }

  /** A presigned address. */
  url(name: string, token = "let-me-in"): string {
    return `http://127.0.0.1:${this.#port}/bucket/${name}?token=${token}`;
  }
}
