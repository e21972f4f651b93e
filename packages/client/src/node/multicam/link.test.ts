import { once } from "node:events";
import { type AddressInfo, createServer, type Server, Socket } from "node:net";
import { setImmediate as turn } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type Link, openLink } from "./link.ts";

let server: Server;
let device: Socket;
let link: Link;

beforeEach(async () => {
  server = createServer();
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
});
afterEach(async () => {
  link.close();
  device.destroy();
  await new Promise((resolve) => server.close(resolve));
});

async function open(pieceBytes: number): Promise<void> {
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("no port");
  const accepted = once(server, "connection");
  link = await openLink({ host: "127.0.0.1", port: (address satisfies AddressInfo).port }, { pieceBytes });
  const [socket] = await accepted;
  if (!(socket instanceof Socket)) throw new Error("no connection");
  device = socket;
  device.on("error", () => undefined);
}

describe("a link", () => {
  it("gives every byte once and in order, and what it lent stays as it is until the next read", async () => {
    await open(1000);
    const sent = Buffer.from(Array.from({ length: 300_000 }, (_, at) => (at * 7) % 251));
    device.end(sent);
    const got: Buffer[] = [];
    for (let count = 0; ; count++) {
      const piece = await link.read(30, "bytes");
      if (piece === undefined) break;
      const lent = Buffer.from(piece);
      got.push(lent);
      // Now and then a reader that is slower than the device.
      for (let turns = 0; turns < count % 5; turns++) await turn();
      expect(piece.length).toBeLessThanOrEqual(1000);
      expect(lent.equals(piece)).toBe(true);
    }
    expect(Buffer.concat(got).equals(sent)).toBe(true);
    expect(await link.read(30, "bytes")).toBeUndefined();
  });

  it("holds up a device that sends faster than is read", async () => {
    await open(2 ** 16);
    const total = 2 ** 27;
    const piece = Buffer.alloc(2 ** 18);
    const send = (left: number): void => {
      if (left > 0) device.write(piece, () => send(left - piece.length));
    };
    const before = process.memoryUsage().arrayBuffers;
    send(total);
    let most = 0;
    for (let read = 0; read < total; ) {
      read += (await link.read(30, "bytes"))?.length ?? Number.NaN;
      for (let turns = 0; turns < 3; turns++) await turn();
      most = Math.max(most, process.memoryUsage().arrayBuffers - before);
    }
    expect(most).toBeLessThan(2 ** 20);
  });

  it("that broke says so, after what came before", async () => {
    await open(1000);
    device.write("the last words", () => device.resetAndDestroy());
    const heard: string[] = [];
    const read = async (): Promise<void> => {
      for (;;) heard.push(String(await link.read(30, "bytes")));
    };
    await expect(read()).rejects.toMatchObject({ code: "unreachable" });
    expect(["", "the last words"]).toContain(heard.join(""));
    // And to whoever asks again.
    for (let again = 0; again < 3; again++) {
      await expect(link.read(30, "bytes")).rejects.toMatchObject({ code: "unreachable" });
    }
  });
});
