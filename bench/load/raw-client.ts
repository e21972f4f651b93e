/**
 * A WebSocket client as light as it can be, so that thousands fit beside the server they load and the server, not the
 * load, is what a figure tells of. It sends whole prepared frames and takes whole text frames; it answers pings.
 */
import { connect, type Socket } from "node:net";

export interface Target {
  readonly host: string;
  readonly port: number;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
}

/** A masked frame, with a mask of zeros: the server unmasks it as any other. */
export function frameOf(opcode: number, payload: Buffer): Buffer {
  const { length } = payload;
  const header =
    length < 126
      ? Buffer.from([0x80 | opcode, 0x80 | length, 0, 0, 0, 0])
      : Buffer.from([0x80 | opcode, 0x80 | 126, length >> 8, length & 255, 0, 0, 0, 0]);
  if (length > 65_535) throw new Error("a frame of this client holds 65,535 bytes at most");
  return Buffer.concat([header, payload]);
}

export function textFrame(text: string): Buffer {
  return frameOf(1, Buffer.from(text));
}

const readBuffer = Buffer.allocUnsafe(256 * 1024);

export class RawClient {
  /** Called with each text message; the bytes are good only during the call. */
  onText: (payload: Buffer) => void = () => {};
  readonly opened: Promise<void>;
  readonly closed: Promise<void>;
  closeCode: number | undefined;
  readonly #socket: Socket;
  readonly #opened = Promise.withResolvers<void>();
  #isOpen = false;
  /** What has come of a frame, or of the answer to the handshake, that is not complete. */
  #rest: Buffer | undefined;

  constructor(target: Target, localAddress: string | undefined) {
    const { host, port, path, headers } = target;
    this.opened = this.#opened.promise;
    this.opened.catch(() => {});
    this.#socket = connect({
      host,
      port,
      noDelay: true,
      ...(localAddress === undefined ? {} : { localAddress }),
      // One buffer for all: nothing read is kept.
      onread: {
        buffer: readBuffer,
        callback: (bytes: number) => {
          this.#take(readBuffer.subarray(0, bytes));
          return true;
        },
      },
    });
    let reason: Error | undefined;
    this.#socket.on("error", (error) => {
      reason = error;
    });
    this.closed = new Promise((resolve) =>
      this.#socket.once("close", () => {
        this.#opened.reject(reason ?? new Error("the server closed the connection"));
        resolve();
      }),
    );
    const lines = [
      `GET ${path} HTTP/1.1`,
      `Host: ${host}:${port}`,
      "Upgrade: websocket",
      "Connection: Upgrade",
      "Sec-WebSocket-Version: 13",
      "Sec-WebSocket-Key: b2NlbGxpLWJlbmNoLWtleQ==",
      ...Object.entries(headers).map(([name, value]) => `${name}: ${value}`),
    ];
    this.#socket.write(`${lines.join("\r\n")}\r\n\r\n`);
  }

  /** A whole frame, made with `textFrame`. */
  send(frame: Buffer): void {
    this.#socket.write(frame);
  }

  /** Stops reading, for good. */
  stall(): void {
    this.#socket.pause();
  }

  /** Says goodbye as the protocol wants it. */
  close(): Promise<void> {
    this.#socket.resume();
    if (this.#isOpen && !this.#socket.destroyed) this.#socket.write(frameOf(8, Buffer.from([3, 232])));
    else this.#socket.destroy();
    return this.closed;
  }

  /** Goes without a word. */
  destroy(): Promise<void> {
    this.#socket.destroy();
    return this.closed;
  }

  #take(chunk: Buffer): void {
    let data = this.#rest === undefined ? chunk : Buffer.concat([this.#rest, chunk]);
    this.#rest = undefined;
    if (!this.#isOpen) {
      const end = data.indexOf("\r\n\r\n");
      if (end < 0) {
        this.#rest = Buffer.from(data);
        return;
      }
      const head = data.toString("latin1", 0, end);
      if (!head.startsWith("HTTP/1.1 101")) {
        this.#opened.reject(new Error(head.split("\r\n", 1)[0]));
        this.#socket.destroy();
        return;
      }
      this.#isOpen = true;
      this.#opened.resolve();
      data = data.subarray(end + 4);
    }
    while (data.length >= 2) {
      const short = (data[1] ?? 0) & 127;
      const header = short < 126 ? 2 : short === 126 ? 4 : 10;
      if (data.length < header) break;
      const length =
        short < 126 ? short : short === 126 ? data.readUInt16BE(2) : Number(data.readBigUInt64BE(2));
      if (data.length < header + length) break;
      const payload = data.subarray(header, header + length);
      this.#frame((data[0] ?? 0) & 15, payload);
      data = data.subarray(header + length);
    }
    if (data.length > 0) this.#rest = Buffer.from(data);
  }

  #frame(opcode: number, payload: Buffer): void {
    if (opcode === 1) this.onText(payload);
    else if (opcode === 9) this.#socket.write(frameOf(10, payload));
    else if (opcode === 8) {
      this.closeCode ??= payload.length >= 2 ? payload.readUInt16BE(0) : 1005;
      this.#socket.end(frameOf(8, payload.subarray(0, 2)));
    }
  }
}
