/**
 * Answers for bytes that Node's HTTP parser refuses before any route sees them. One case is helped: old clients
 * put file names into the request line as raw UTF-8, which the parser never accepts; they are redirected to the
 * percent-encoded form of the same path.
 */
import type { Duplex } from "node:stream";

const statuses: Readonly<Record<string, string>> = {
  HPE_HEADER_OVERFLOW: "431 Request Header Fields Too Large",
  ERR_HTTP_REQUEST_TIMEOUT: "408 Request Timeout",
};

/** For the `clientError` event of an HTTP server. */
export function answerMalformed(error: Error, socket: Duplex): void {
  // Where no HTTP is spoken yet, as in a TLS handshake that is not done, an answer would wait for ever, and the socket with it.
  if (!socket.writable || !isOfHttp(error)) {
    socket.destroy();
    return;
  }
  const location = encodedTarget(error);
  const status =
    location === undefined ? (statuses[codeOf(error)] ?? "400 Bad Request") : "308 Permanent Redirect";
  const extra = location === undefined ? "" : `Location: ${location}\r\n`;
  socket.end(`HTTP/1.1 ${status}\r\n${extra}Connection: close\r\nContent-Length: 0\r\n\r\n`);
}

/** Only below `/files/`, so that nobody can make the hub redirect to another host. */
function encodedTarget(error: Error): string | undefined {
  if (codeOf(error) !== "HPE_INVALID_URL" || !("rawPacket" in error)) return undefined;
  const packet = error.rawPacket;
  if (!Buffer.isBuffer(packet)) return undefined;
  const target = /^(?:GET|HEAD) (\/files\/[^\s]*) HTTP\/1\.[01]\r\n/.exec(packet.toString("latin1"))?.[1];
  return target?.replace(
    /[^\u0021-\u007e]/g,
    (byte) => `%${byte.charCodeAt(0).toString(16).toUpperCase().padStart(2, "0")}`,
  );
}

function codeOf(error: Error): string {
  return "code" in error ? String(error.code) : "";
}

function isOfHttp(error: Error): boolean {
  return /^(HPE|ERR_HTTP)_/.test(codeOf(error));
}
