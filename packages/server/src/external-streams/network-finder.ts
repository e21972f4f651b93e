/**
 * Finds RTSP streams at customary ports and paths in networks that the configuration names. It connects to every
 * address of them; nothing else is sent but the question whether the stream is there.
 */
import type { Clock } from "../clock/clock.ts";
import { type Described, describeRtsp } from "../devices/network/rtsp-describe.ts";
import { Limiter } from "../store/limiter.ts";
import type { FoundStream, StreamFinder } from "./stream-search.ts";

export interface StreamPlace {
  readonly port: number;
  /** With its slash. Tried in this order; those after one that is there are tried as well. */
  readonly paths: readonly string[];
  /** What a stream found there is called, before its address. */
  readonly label: string;
}

export interface NetworkFinderOptions {
  readonly kind: "skydio" | "generic";
  readonly clock: Clock;
  /** IPv4 addresses and networks, `192.168.42.0/24`. */
  readonly networks: readonly string[];
  readonly places: readonly StreamPlace[];
  /** Of the whole search; what was not tried by then is left out. */
  readonly timeoutMs: number;
  /** Of one question. Default 1000. */
  readonly answerMs?: number;
}

const maxAskedAtOnce = 64;
/** Of one search, and of one address. */
const maxFound = 500;

export function networkFinder(options: NetworkFinderOptions): StreamFinder {
  const { kind, clock, networks, places, timeoutMs, answerMs = 1000 } = options;
  const type = kind === "skydio" ? "skydio_stanag4609" : "generic_rtsp";
  return {
    kind,
    async find(signal) {
      const timeout = new AbortController();
      const cancel = clock.after(timeoutMs, () => timeout.abort());
      const ending = AbortSignal.any([signal, timeout.signal]);
      const limiter = new Limiter(maxAskedAtOnce);
      const found: FoundStream[] = [];
      const look = async (address: string, { port, paths, label }: StreamPlace): Promise<void> => {
        for (const path of paths) {
          if (ending.aborted || found.length >= maxFound) return;
          const url = new URL(`rtsp://${address}:${port}${path}`);
          const described = await describeRtsp(url, { clock, timeoutMs: answerMs, signal: ending });
          if (described === "closed") return;
          if (described !== "absent")
            found.push(foundStream(url, type, `${label} ${address}`, kind, described));
          // Asked for a password, most cameras say so of every path.
          if (described === "locked") return;
        }
      };
      try {
        const addresses = new Set(networks.flatMap(addressesOf));
        await Promise.all(
          [...addresses].flatMap((address) => places.map((place) => limiter.run(() => look(address, place)))),
        );
      } finally {
        cancel();
      }
      signal.throwIfAborted();
      return found;
    },
  };
}

function foundStream(
  url: URL,
  type: FoundStream["type"],
  name: string,
  foundBy: string,
  described: Described,
): FoundStream {
  const stream = { url: url.href, name, type, capabilities: { found_by: foundBy, address: url.hostname } };
  return described === "there"
    ? { ...stream, status: "DISCOVERED" }
    : {
        ...stream,
        status: "ERROR",
        reason: "The camera asks for a user and password, and may have its stream at another path.",
      };
}

/** The addresses of an IPv4 network, without its own and the broadcast one. @param network `a.b.c.d` or `a.b.c.d/n` */
export function addressesOf(network: string): string[] {
  const [base = "", bits] = network.split("/");
  const length = bits === undefined ? 32 : Number(bits);
  const number = base.split(".").reduce((sum, part) => sum * 256 + Number(part), 0);
  const size = 2 ** (32 - length);
  const first = Math.floor(number / size) * size;
  const edge = size > 2 ? 1 : 0;
  return Array.from({ length: size - 2 * edge }, (_, index) => textOf(first + edge + index));
}

function textOf(number: number): string {
  return [24, 16, 8, 0].map((shift) => Math.floor(number / 2 ** shift) % 256).join(".");
}
