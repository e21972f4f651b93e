/** Viewers as light as they can be, so that many of them fit beside the hub on a small machine. */
import { connect, type Socket } from "node:net";
import WebSocket from "ws";
import { adminKey, type RunningHub } from "../../test/harness/hub.ts";

export interface Viewer {
  /** Whole pictures received. */
  readonly frames: number;
  readonly bytes: number;
  /** Frames the hub says it left out for this viewer. */
  readonly lost: number;
  /** Resolves with the next picture. */
  next(): Promise<Picture>;
  /** Calls with every picture from now on. */
  listen(listener: (picture: Picture) => void): void;
  /** Rejects when the hub ends the stream. */
  readonly failed: Promise<never>;
  /** Stops reading, for good. */
  stall(): void;
  close(): Promise<void>;
}

export interface Picture {
  /** JPEG, or init segment (first picture only) and fragment. Empty unless bodies are kept. */
  readonly bytes: Buffer;
  /** `performance.now()` when it was complete. */
  readonly atMs: number;
  /** Epoch milliseconds when it was complete. */
  readonly wallMs: number;
  /** Epoch milliseconds, where the stream says it with every picture. */
  readonly capturedMs: number | undefined;
}

abstract class Counting implements Viewer {
  frames = 0;
  bytes = 0;
  lost = 0;
  #listener: ((picture: Picture) => void) | undefined;
  readonly #failed = Promise.withResolvers<never>();
  #waiting: ((picture: Picture) => void)[] = [];

  constructor() {
    this.#failed.promise.catch(() => {});
  }

  get failed(): Promise<never> {
    return this.#failed.promise;
  }

  next(): Promise<Picture> {
    return Promise.race([new Promise<Picture>((resolve) => this.#waiting.push(resolve)), this.failed]);
  }

  listen(listener: (picture: Picture) => void): void {
    this.#listener = listener;
  }

  protected picture(bytes: Buffer, capturedMs: number | undefined): void {
    this.frames++;
    if (this.#waiting.length === 0 && this.#listener === undefined) return;
    const wallMs = performance.timeOrigin + performance.now();
    const picture = { bytes, atMs: performance.now(), wallMs, capturedMs };
    this.#listener?.(picture);
    for (const resolve of this.#waiting.splice(0)) resolve(picture);
  }

  protected fail(error: Error): void {
    this.#failed.reject(error);
  }

  abstract stall(): void;
  abstract close(): Promise<void>;
}

/** `GET /live/{camera}/mjpeg` by HTTP/1.0, whose body comes without chunks. */
export class MjpegViewer extends Counting {
  readonly #socket: Socket;
  readonly #closed: Promise<void>;
  #head: Buffer = Buffer.alloc(0);
  /** Bytes of the picture still to come; 0 in a header. */
  #left = 0;
  #body: Buffer[] = [];
  #capturedMs: number | undefined;
  readonly #keep: boolean;

  constructor(hub: RunningHub, camera: string, options: { readonly keepBodies?: boolean } = {}) {
    super();
    this.#keep = options.keepBodies ?? false;
    this.#socket = connect({ port: hub.port, host: "127.0.0.1", noDelay: true });
    this.#socket.on("data", (chunk) => this.#take(chunk));
    this.#socket.on("error", (error) => this.fail(error));
    this.#closed = new Promise((resolve) => this.#socket.once("close", () => resolve()));
    void this.#closed.then(() => this.fail(new Error("the hub closed the MJPEG stream")));
    this.#socket.write(`GET /live/${camera}/mjpeg HTTP/1.0\r\nX-API-Key: ${adminKey}\r\n\r\n`);
  }

  stall(): void {
    this.#socket.pause();
  }

  close(): Promise<void> {
    this.#socket.destroy();
    return this.#closed;
  }

  #take(chunk: Buffer): void {
    this.bytes += chunk.length;
    let rest = chunk;
    while (rest.length > 0) {
      if (this.#left > 0) {
        const part = rest.subarray(0, this.#left);
        if (this.#keep) this.#body.push(part);
        this.#left -= part.length;
        rest = rest.subarray(part.length);
        if (this.#left > 0) return;
        this.picture(this.#keep ? Buffer.concat(this.#body.splice(0)) : Buffer.alloc(0), this.#capturedMs);
        continue;
      }
      this.#head = this.#head.length === 0 ? rest : Buffer.concat([this.#head, rest]);
      const end = this.#head.indexOf("\r\n\r\n");
      if (end < 0) return;
      const head = this.#head.toString("latin1", 0, end);
      rest = this.#head.subarray(end + 4);
      this.#head = Buffer.alloc(0);
      if (/^HTTP\/1\.\d (?!200)/.test(head)) {
        this.fail(new Error(head));
        this.#socket.destroy();
        return;
      }
      // The response's own header has no length.
      this.#left = Number(/^content-length: (\d+)/im.exec(head)?.[1] ?? 0);
      const stamp = /^x-timestamp: ([\d.]+)/im.exec(head)?.[1];
      this.#capturedMs = stamp === undefined ? undefined : Number(stamp) * 1000;
    }
  }
}

/** `GET /live/{camera}/mse`. */
export class MseViewer extends Counting {
  readonly #socket: WebSocket;
  #init: Buffer | undefined;
  #initFollows = false;
  #isFirst = true;
  mime = "";

  constructor(hub: RunningHub, camera: string) {
    super();
    this.#socket = new WebSocket(`ws://127.0.0.1:${hub.port}/live/${camera}/mse?codecs=h264`, {
      headers: { "x-api-key": adminKey },
      perMessageDeflate: false,
    });
    this.#socket.on("message", (data, isBinary) => this.#take(data as Buffer, isBinary));
    this.#socket.on("error", (error) => this.fail(error));
    this.#socket.on("close", (code, reason) => this.fail(new Error(`closed: ${code} ${reason}`)));
  }

  stall(): void {
    this.#socket.pause();
  }

  close(): Promise<void> {
    return new Promise((resolve) => {
      if (this.#socket.readyState === WebSocket.CLOSED) return resolve();
      this.#socket.once("close", () => resolve());
      this.#socket.terminate();
    });
  }

  #take(data: Buffer, isBinary: boolean): void {
    this.bytes += data.length;
    if (!isBinary) {
      const message = JSON.parse(String(data)) as { type: string; frames?: number; mime?: string };
      if (message.type === "lost") this.lost += message.frames ?? 0;
      if (message.type === "init") {
        this.#initFollows = true;
        this.mime = message.mime ?? "";
      }
    } else if (this.#initFollows) {
      this.#initFollows = false;
      this.#init = data;
    } else {
      const bytes = this.#isFirst && this.#init !== undefined ? Buffer.concat([this.#init, data]) : data;
      this.#isFirst = false;
      this.picture(bytes, undefined);
    }
  }
}

export type ViewerKind = "mjpeg" | "mse";

export function openViewer(kind: ViewerKind, hub: RunningHub, camera: string): Viewer {
  return kind === "mse" ? new MseViewer(hub, camera) : new MjpegViewer(hub, camera);
}

/** A viewer that keeps the camera running, and has its first picture. */
export async function keepWarm(kind: ViewerKind, hub: RunningHub, camera: string): Promise<Viewer> {
  const viewer = openViewer(kind, hub, camera);
  await viewer.next();
  return viewer;
}
