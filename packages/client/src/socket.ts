/** What this package asks of a WebSocket, so that browsers and Node can each bring their own. */

export interface SocketHandlers {
  readonly opened: () => void;
  readonly received: (text: string) => void;
  /** Before `closed`, when the platform tells why. */
  readonly failed: (cause: unknown) => void;
  /** Exactly once, whether it was ever open or not. */
  readonly closed: (code: number, reason: string) => void;
}

export interface Socket {
  readonly send: (text: string) => void;
  readonly close: () => void;
  /** Ends it without a handshake, where the platform can. */
  readonly destroy: () => void;
}

export type OpenSocket = (url: string, handlers: SocketHandlers) => Socket;

/** The WebSocket of the platform: browsers, Deno, Bun, Node 22 and newer. It cannot send headers. */
export const openPlatformSocket: OpenSocket = (url, handlers) => {
  const socket = new WebSocket(url);
  socket.addEventListener("open", () => handlers.opened());
  socket.addEventListener("message", ({ data }) => handlers.received(String(data)));
  socket.addEventListener("error", (event) => handlers.failed(event));
  socket.addEventListener("close", ({ code, reason }) => handlers.closed(code, reason));
  return {
    send: (text) => socket.send(text),
    close: () => socket.close(1000),
    destroy: () => socket.close(),
  };
};
