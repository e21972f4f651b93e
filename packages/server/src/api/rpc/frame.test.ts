import { once } from "node:events";
import { createServer } from "node:net";
import { expect, it } from "vitest";
import { WebSocket } from "ws";
import { lastingTextFrame, textFrame } from "./frame.ts";

/** The bytes of the frame as another implementation reads them. */
async function read(frames: readonly Buffer[]): Promise<string[]> {
  const server = createServer((socket) => {
    socket.on("error", () => {});
    socket.once("data", async (head) => {
      const key = /sec-websocket-key: (\S+)/i.exec(head.toString())?.[1] ?? "";
      const guid = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
      const hash = await crypto.subtle.digest("SHA-1", Buffer.from(key + guid));
      const accept = Buffer.from(hash).toString("base64");
      socket.write(
        `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`,
      );
      for (const frame of frames) socket.write(frame);
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  const port = typeof address === "object" && address !== null ? address.port : 0;
  const client = new WebSocket(`ws://127.0.0.1:${port}`, { perMessageDeflate: false });
  try {
    const texts: string[] = [];
    await new Promise<void>((resolve, reject) => {
      client.on("error", reject);
      client.on("message", (data, isBinary) => {
        texts.push(isBinary ? "binary" : String(data));
        if (texts.length === frames.length) resolve();
      });
    });
    return texts;
  } finally {
    client.terminate();
    server.close();
  }
}

it("makes frames of every size class that others read", async () => {
  const sizes = [0, 1, 125, 126, 127, 65_535, 65_536, 200_000];
  const texts = [...sizes.map((size) => "x".repeat(size)), "Käse 🧀 é", "é".repeat(63), "€".repeat(30_000)];
  expect(await read(texts.map(textFrame))).toEqual(texts);
  expect(await read(texts.map(lastingTextFrame))).toEqual(texts);
});
