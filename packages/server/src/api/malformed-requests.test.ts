import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer, type Server } from "node:https";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { makeSelfSigned } from "../../../../test/harness/certificates.ts";
import { answerMalformed } from "./malformed-requests.ts";

let folder: string;
let server: Server;
let port: number;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "ocelli-malformed-"));
  const { certFile, keyFile } = makeSelfSigned(folder, "hub");
  server = createServer({ cert: readFileSync(certFile), key: readFileSync(keyFile), handshakeTimeout: 100 });
  server.on("clientError", answerMalformed).listen(0, "127.0.0.1");
  await once(server, "listening");
  const bound = server.address();
  port = typeof bound === "object" && bound !== null ? bound.port : 0;
});
afterAll(() => {
  server.close();
  rmSync(folder, { recursive: true, force: true });
});

it.each([
  ["begins", Buffer.from("160301020001", "hex")],
  ["is not one", Buffer.from("GET / HTTP/1.1\r\n\r\n")],
])("lets go of a connection whose TLS handshake only %s", async (_what, bytes) => {
  const accepted = once(server, "connection");
  // Stays open from this side.
  const client = connect({ port, host: "127.0.0.1", allowHalfOpen: true }).on("error", () => undefined);
  client.write(bytes);
  const [socket]: Socket[] = await accepted;
  if (socket !== undefined && !socket.destroyed) await once(socket, "close");
  expect(socket?.destroyed).toBe(true);
  client.destroy();
});
