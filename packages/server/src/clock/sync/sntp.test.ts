import { createSocket, type Socket } from "node:dgram";
import { once } from "node:events";
import { afterEach, describe, expect, it } from "vitest";
import { SystemClock } from "../system-clock.ts";
import { combine, measureOffset, type NtpServer, readNtpServer } from "./sntp.ts";
import { ntpAnswer } from "./testing/ntp-answer.ts";

const clock = new SystemClock();
const servers: Socket[] = [];
afterEach(() => {
  for (const server of servers.splice(0)) server.close();
});

interface Bad {
  readonly skewUs?: number;
  readonly change?: (answer: Buffer, count: number) => Buffer | undefined;
}

/** A time server whose clock is off by so much, or that answers something else. */
async function server({ skewUs = 0, change = (answer) => answer }: Bad = {}): Promise<NtpServer> {
  const socket = createSocket("udp4");
  servers.push(socket);
  let count = 0;
  socket.on("message", (question, from) => {
    const answer = ntpAnswer(question, clock.wallUs() + skewUs);
    const sent = change(answer, ++count);
    if (sent !== undefined) socket.send(sent, from.port, from.address);
  });
  socket.bind(0, "127.0.0.1");
  await once(socket, "listening");
  return { host: "127.0.0.1", port: socket.address().port };
}

/** The answer, changed in place. */
const changed =
  (change: (answer: Buffer) => unknown) =>
  (answer: Buffer): Buffer => {
    change(answer);
    return answer;
  };

const quick = { clock, spacingMs: 1, timeoutMs: 200 };

describe("asking a time server", () => {
  it.each([0, 3_600_000_000, -250_000])(
    "finds a clock %i µs off, to within what it claims",
    async (skewUs) => {
      const patient = { clock, spacingMs: 1, timeoutMs: 60_000, maxRoundTripMs: 60_000 };
      const { offsetUs, uncertaintyUs, samples } = await measureOffset([await server({ skewUs })], patient);
      expect(Math.abs(offsetUs - skewUs)).toBeLessThanOrEqual(uncertaintyUs + 50);
      expect(samples).toBe(3);
    },
  );

  it("takes the server that knows best, and leaves out those that fail", async () => {
    const vague = await server({
      skewUs: 40_000,
      change: (answer) => {
        // A root dispersion of one second.
        answer.writeUInt32BE(65_536, 8);
        return answer;
      },
    });
    const silent = await server({ change: () => undefined });
    const { offsetUs, uncertaintyUs } = await measureOffset([vague, silent, await server()], quick);
    expect(Math.abs(offsetUs)).toBeLessThanOrEqual(uncertaintyUs + 50);
    expect(uncertaintyUs).toBeLessThan(1_000_000);
  });

  it("believes no single server that is sure of another time than the others", async () => {
    const vague = changed((answer) => answer.writeUInt32BE(655, 8));
    const liar = await server({ skewUs: -3_000_000 });
    const others = [await server({ change: vague }), await server({ change: vague })];
    const { offsetUs, uncertaintyUs } = await measureOffset([liar, ...others], quick);
    expect(Math.abs(offsetUs)).toBeLessThanOrEqual(uncertaintyUs + 50);
    expect(uncertaintyUs).toBeLessThan(1_000_000);
  });

  it.each<[string, Bad["change"], RegExp]>([
    ["is silent", () => undefined, /no answer within 0.2 s/],
    ["is not synchronised itself", changed((a) => a.writeUInt8(0xdc, 0)), /not synchronised/],
    ["refuses", changed((a) => a.writeUInt8(0, 1) + a.write("RATE", 12)), /refused \(RATE\)/],
    ["is no server", changed((a) => a.writeUInt8(0x1b, 0)), /no time server/],
    ["has no time", changed((a) => a.writeUInt32BE(0, 40)), /no time in it/],
    ["does not know the question", changed((a) => a.fill(7, 24, 32)), /no answer/],
    ["knows no time", changed((a) => a.writeUInt32BE(60_000 * 65_536, 8)), /may be 60000 s off/],
    ["sends crumbs", (a) => a.subarray(0, 20), /no answer/],
  ])("says why when it %s", async (_what, change, reason) => {
    const failed = measureOffset([await server(change === undefined ? {} : { change })], {
      ...quick,
      samples: 1,
    });
    await expect(failed).rejects.toMatchObject({
      code: "clock_not_synchronised",
      message: expect.stringMatching(reason),
    });
  });

  it.each(["no.such.host.invalid", "255.255.255.255"])("says why when %s cannot be asked", async (host) => {
    const escaped: unknown[] = [];
    const remember = (error: unknown): void => void escaped.push(error);
    process.on("uncaughtException", remember);
    const failed = measureOffset([{ host, port: 123 }], { ...quick, samples: 2, timeoutMs: 60_000 });
    await expect(failed).rejects.toMatchObject({
      code: "clock_not_synchronised",
      message: expect.stringMatching(/ENOTFOUND|EAI_AGAIN|EACCES|ENETUNREACH/),
    });
    process.off("uncaughtException", remember);
    expect(escaped).toEqual([]);
  });

  it("can be given up", async () => {
    const abort = new AbortController();
    const asked = measureOffset([await server({ change: () => void abort.abort(new Error("enough")) })], {
      ...quick,
      timeoutMs: 60_000,
      signal: abort.signal,
    });
    await expect(asked).rejects.toThrow("enough");
  });
});

it("averages the three answers that agree best", () => {
  const sample = (offsetUs: number, roundTripUs = 1000) => ({ offsetUs, roundTripUs, serverErrorUs: 10 });
  expect(combine([sample(100), sample(9000), sample(130), sample(70, 400)])).toEqual({
    offsetUs: 100,
    uncertaintyUs: 30 + 200 + 10,
    samples: 3,
  });
  expect(combine([sample(5)])).toEqual({ offsetUs: 5, uncertaintyUs: 510, samples: 1 });
});

it.each([
  ["ntp.example", { host: "ntp.example", port: 123 }],
  ["10.0.0.1:1123", { host: "10.0.0.1", port: 1123 }],
  ["[fe80::1]:99", { host: "fe80::1", port: 99 }],
])("reads the address %s", (text, server) => {
  expect(readNtpServer(text)).toEqual(server);
});
