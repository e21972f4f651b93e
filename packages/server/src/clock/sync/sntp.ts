/**
 * Asks NTP servers for the time as MultiCam's devices do (spec section 9.1; packet: RFC 5905): four questions, answers
 * that took too long are left out, the best three are averaged. Sends nothing by itself.
 */
import { randomBytes } from "node:crypto";
import { createSocket } from "node:dgram";
import { isIPv6 } from "node:net";
import { OcelliError } from "@ocelli/protocol";
import type { Clock } from "../clock.ts";

export interface NtpServer {
  readonly host: string;
  readonly port: number;
}

export interface SntpOptions {
  readonly clock: Clock;
  /** Of each server. Default 4. */
  readonly samples?: number;
  /** Between two questions. Default 500. */
  readonly spacingMs?: number;
  /** Default 5000. */
  readonly timeoutMs?: number;
  /** Answers that took longer say too little. Default 500. */
  readonly maxRoundTripMs?: number;
  readonly signal?: AbortSignal;
}

export interface NtpSample {
  /** True time minus the wall clock, microseconds. */
  readonly offsetUs: number;
  readonly roundTripUs: number;
  /** How far off the server's own time may be, by its own word. */
  readonly serverErrorUs: number;
}

export interface NtpMeasurement {
  readonly offsetUs: number;
  readonly uncertaintyUs: number;
  /** How many answers it rests on. */
  readonly samples: number;
}

/** Seconds between 1900 and 1970. */
const ntpEpochS = 2_208_988_800;
const packetBytes = 48;
/** A server that may be further off knows no time (RFC 5905: MAXDISP). */
const maxServerErrorUs = 16_000_000;

/** `host`, `host:port` or `[v6]:port`; port 123 unless given. */
export function readNtpServer(text: string): NtpServer {
  const match = /^(?:\[([^\]]+)\]|([^:]+))(?::(\d{1,5}))?$/.exec(text);
  const host = match?.[1] ?? match?.[2];
  if (host === undefined) return { host: text, port: 123 };
  return { host, port: Number(match?.[3] ?? 123) };
}

/**
 * The offset by the server that most others agree with. Servers that do not answer are left out.
 * @throws OcelliError `clock_not_synchronised` when none gave an answer to rely on
 */
export async function measureOffset(
  servers: readonly NtpServer[],
  options: SntpOptions,
): Promise<NtpMeasurement> {
  const failures: string[] = [];
  const answered = await Promise.all(
    servers.map((server) => samplesOf(server, options, (why) => failures.push(`${nameOf(server)}: ${why}`))),
  );
  options.signal?.throwIfAborted();
  const measured = answered.filter((samples) => samples.length > 0).map(combine);
  // What most agree with; of those, the surest. One server that is wrong, or lies, must not win by being sure of itself.
  const agreeing = (one: NtpMeasurement): number => measured.filter((other) => agree(one, other)).length;
  const best = measured.toSorted((a, b) => agreeing(b) - agreeing(a) || a.uncertaintyUs - b.uncertaintyUs)[0];
  if (best === undefined) {
    throw new OcelliError(
      "clock_not_synchronised",
      `No time server gave an answer to rely on (${[...new Set(failures)].join("; ")}). Check clock.ntpServers and that UDP to them is allowed.`,
      { details: { servers: servers.map(nameOf) } },
    );
  }
  return best;
}

function agree(one: NtpMeasurement, other: NtpMeasurement): boolean {
  return Math.abs(one.offsetUs - other.offsetUs) <= one.uncertaintyUs + other.uncertaintyUs;
}

export function nameOf({ host, port }: NtpServer): string {
  return port === 123 ? host : `${isIPv6(host) ? `[${host}]` : host}:${port}`;
}

async function samplesOf(
  server: NtpServer,
  options: SntpOptions,
  failed: (why: string) => void,
): Promise<NtpSample[]> {
  const { clock, samples = 4, spacingMs = 500, maxRoundTripMs = 500, signal } = options;
  const good: NtpSample[] = [];
  for (let i = 0; i < samples && signal?.aborted !== true; i++) {
    if (i > 0) await clock.sleep(spacingMs, signal).catch(() => undefined);
    try {
      const sample = await askOnce(server, options);
      if (sample.roundTripUs <= maxRoundTripMs * 1000) good.push(sample);
      else failed(`the answer took ${Math.round(sample.roundTripUs / 1000)} ms`);
    } catch (error) {
      failed(error instanceof Error ? error.message : String(error));
    }
  }
  return good;
}

/** The three that agree best, averaged; or all there are. */
export function combine(samples: readonly NtpSample[]): NtpMeasurement {
  const sorted = samples.toSorted((a, b) => a.offsetUs - b.offsetUs);
  const spread = (of: readonly NtpSample[]): number => (of.at(-1)?.offsetUs ?? 0) - (of[0]?.offsetUs ?? 0);
  let best = sorted;
  for (let from = 0; sorted.length > 3 && from + 3 <= sorted.length; from++) {
    const three = sorted.slice(from, from + 3);
    if (best.length > 3 || spread(three) < spread(best)) best = three;
  }
  const offsetUs = Math.round(best.reduce((sum, one) => sum + one.offsetUs, 0) / best.length);
  // Either way may have taken the whole of a round trip.
  const shortestUs = Math.min(...best.map(({ roundTripUs }) => roundTripUs));
  const serverErrorUs = Math.max(...best.map((one) => one.serverErrorUs));
  const uncertaintyUs = Math.ceil(spread(best) / 2 + shortestUs / 2 + serverErrorUs);
  return { offsetUs, uncertaintyUs, samples: best.length };
}

/** One question. @throws Error in words when there is no good answer */
export function askOnce(
  server: NtpServer,
  { clock, timeoutMs = 5000, signal }: SntpOptions,
): Promise<NtpSample> {
  return new Promise((resolve, reject) => {
    const socket = createSocket(isIPv6(server.host) ? "udp6" : "udp4");
    const cookie = randomBytes(8);
    let sentMonoUs = 0;
    let finished = false;
    const finish = (done: () => void): void => {
      if (finished) return;
      finished = true;
      cancel();
      signal?.removeEventListener("abort", onAbort);
      socket.close();
      done();
    };
    const onAbort = (): void => finish(() => reject(signal?.reason));
    const cancel = clock.after(timeoutMs, () =>
      finish(() => reject(new Error(`no answer within ${timeoutMs / 1000} s`))),
    );
    signal?.addEventListener("abort", onAbort, { once: true });
    socket.on("error", (error) => finish(() => reject(error)));
    socket.on("message", (packet) => {
      const monoUs = clock.monoUs();
      const wallUs = clock.wallUs();
      // Anybody can send to a UDP port; only who was asked knows the cookie.
      if (packet.length < packetBytes || !packet.subarray(24, 32).equals(cookie)) return;
      finish(() => {
        const read = readAnswer(packet);
        if (typeof read === "string") return reject(new Error(read));
        // The monotonic clock measures the way, so that a step of the wall clock during it does no harm.
        const roundTripUs = Math.max(0, monoUs - sentMonoUs);
        resolve({
          offsetUs: Math.round(read.transmitUs - wallUs + roundTripUs / 2),
          roundTripUs,
          serverErrorUs: read.errorUs,
        });
      });
    });
    // Not as the callback of `connect`: that one is also called where the name cannot be resolved.
    socket.on("connect", () => {
      if (finished) return;
      const question = Buffer.alloc(packetBytes);
      // No leap warning, version 3, client.
      question[0] = 0x1b;
      // The server sends it back; the protocol's own clients send zeros and take any answer.
      cookie.copy(question, 40);
      sentMonoUs = clock.monoUs();
      socket.send(question, (error) => {
        if (error) finish(() => reject(error));
      });
    });
    socket.connect(server.port, server.host);
  });
}

function readAnswer(packet: Buffer): { readonly transmitUs: number; readonly errorUs: number } | string {
  const first = packet.readUInt8(0);
  const stratum = packet.readUInt8(1);
  if ((first & 7) !== 4) return "what answered is no time server";
  // A refusal also says that its clock is not synchronised (RFC 5905, 7.4): the code tells which is meant.
  const code = packet.toString("latin1", 12, 16).replaceAll(/[^A-Z]/g, "");
  if (stratum === 0 && code !== "INIT" && code !== "STEP") return `the server refused (${code})`;
  if (first >> 6 === 3 || stratum === 0 || stratum > 15) {
    return "the server says that its own clock is not synchronised";
  }
  const seconds = packet.readUInt32BE(40);
  if (seconds === 0) return "the answer has no time in it";
  const transmitUs = (seconds - ntpEpochS) * 1e6 + (packet.readUInt32BE(44) / 2 ** 32) * 1e6;
  // Of the two stamps that overflow in 2036, the one near now is meant.
  const eraUs = seconds < ntpEpochS ? 2 ** 32 * 1e6 : 0;
  const rootDelayUs = (packet.readUInt32BE(4) / 65_536) * 1e6;
  const rootDispersionUs = (packet.readUInt32BE(8) / 65_536) * 1e6;
  const errorUs = rootDelayUs / 2 + rootDispersionUs;
  if (errorUs > maxServerErrorUs) {
    return `the server says that its own clock may be ${Math.round(errorUs / 1e6)} s off`;
  }
  return { transmitUs: transmitUs + eraUs, errorUs };
}
