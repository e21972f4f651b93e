/** A WebSocket for Node that sends headers and can trust a private CA. */
import WebSocket, { type ClientOptions } from "ws";
import type { OpenSocket } from "../socket.ts";
import { inWords, type Tls, tlsOptions } from "./tls.ts";

/** As much as a list of a thousand files may be, with room to spare; a server gone mad cannot fill the memory. */
const maxMessageBytes = 64 * 1024 * 1024;

export function nodeSocket(tls: Tls, headers: Readonly<Record<string, string>>): OpenSocket {
  return (url, handlers) => {
    const options: ClientOptions = {
      headers: { ...headers },
      perMessageDeflate: false,
      maxPayload: maxMessageBytes,
      followRedirects: false,
      ...tlsOptions(tls),
    };
    const socket = new WebSocket(url, options);
    socket.on("open", () => handlers.opened());
    socket.on("message", (data) => handlers.received(String(data)));
    socket.on("error", (error) => handlers.failed(inWords(error)));
    socket.on("close", (code, reason) => handlers.closed(code, reason.toString()));
    return {
      send: (text) => socket.send(text),
      close: () => socket.close(1000),
      destroy: () => socket.terminate(),
    };
  };
}
