/**
 * One TCP port for HTTP or HTTPS and for protocols that begin otherwise: the first byte of a connection tells. An HTTP
 * request begins with a letter, TLS with the number of its handshake; raw MultiCam with a brace, white space, or the zero of
 * a length (spec sections 2.3 and 2.5).
 */
import type { Server as HttpServer } from "node:http";
import { createServer, type Server, type Socket } from "node:net";
import type { Clock } from "../clock/clock.ts";

export interface FirstBytesOptions {
  readonly http: HttpServer;
  /** `http` speaks TLS. A request in the clear goes there all the same, where it is refused as such. */
  readonly secure?: boolean;
  /** Takes a connection that is not HTTP; `false` when nobody wants it. */
  readonly other: (socket: Socket) => boolean;
  readonly clock: Clock;
  /** A connection that says nothing is closed after this long. Default 30,000. */
  readonly silentTimeoutMs?: number;
}

export interface SharedPort {
  /** In front of `http`, which itself does not listen. Its `close` waits for all connections, of any protocol. */
  readonly server: Server;
  /** Ends connections that have not said anything yet. */
  dropSilent(): void;
}

export function sharePort(options: FirstBytesOptions): SharedPort {
  const { http, secure = false, other, clock, silentTimeoutMs = 30_000 } = options;
  const silent = new Set<Socket>();
  // Node counts connections, ends those whose request does not arrive, and finds idle ones, only in a server that listens.
  http.emit("listening");
  const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
    silent.add(socket);
    const cancel = clock.after(silentTimeoutMs, () => socket.destroy());
    const forget = (): void => {
      cancel();
      silent.delete(socket);
      socket.off("readable", look).off("error", forget).off("close", forget).off("end", gone);
    };
    const gone = (): void => {
      forget();
      socket.destroy();
    };
    const look = (): void => {
      const chunk: unknown = socket.read();
      if (!(chunk instanceof Buffer)) return;
      forget();
      socket.unshift(chunk);
      if (!isLetter(chunk[0]) && !(secure && chunk[0] === tlsHandshake)) {
        if (!other(socket)) socket.destroy();
        return;
      }
      http.emit("connection", socket);
    };
    socket.on("readable", look).on("error", forget).on("close", forget).on("end", gone);
  });
  return {
    server,
    dropSilent: () => {
      for (const socket of silent) socket.destroy();
    },
  };
}

/** Content type of the first record of TLS (RFC 8446, section 5.1). */
const tlsHandshake = 22;

function isLetter(byte: number | undefined): boolean {
  return byte !== undefined && ((byte >= 0x41 && byte <= 0x5a) || (byte >= 0x61 && byte <= 0x7a));
}
