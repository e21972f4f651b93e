/** Asks an RTSP server whether it has a stream, by one DESCRIBE and the status line of its answer. */
import { connect } from "node:net";
import type { Clock } from "../../clock/clock.ts";

/** `locked`: it wants a password, which says nothing about the path. `closed`: nobody speaks RTSP at this port. */
export type Described = "there" | "locked" | "absent" | "closed";

export interface DescribeOptions {
  readonly clock: Clock;
  /** For connecting and for the answer together. */
  readonly timeoutMs: number;
  readonly signal?: AbortSignal;
}

const maxStatusBytes = 1024;

/** @param url `rtsp://` with a port, without credentials. Never rejects. */
export function describeRtsp(url: URL, { clock, timeoutMs, signal }: DescribeOptions): Promise<Described> {
  const { promise, resolve } = Promise.withResolvers<Described>();
  const socket = connect({ host: url.hostname, port: Number(url.port) });
  let received = "";
  const end = (described: Described): void => {
    cancel();
    signal?.removeEventListener("abort", onAbort);
    socket.destroy();
    resolve(described);
  };
  const onAbort = (): void => end("closed");
  const cancel = clock.after(timeoutMs, () => end("closed"));
  signal?.addEventListener("abort", onAbort, { once: true });
  socket.on("error", () => end("closed"));
  socket.on("close", () => end("closed"));
  socket.on("connect", () => {
    socket.write(`DESCRIBE ${url.href} RTSP/1.0\r\nCSeq: 1\r\nAccept: application/sdp\r\n\r\n`);
  });
  socket.on("data", (chunk) => {
    received += chunk.toString("latin1");
    const status = /^RTSP\/1\.\d (\d{3})[^\r\n]*\r?\n/.exec(received)?.[1];
    if (status !== undefined) end(status === "200" ? "there" : status === "401" ? "locked" : "absent");
    else if (received.length > maxStatusBytes || /\n/.test(received)) end("closed");
  });
  if (signal?.aborted === true) onAbort();
  return promise;
}
