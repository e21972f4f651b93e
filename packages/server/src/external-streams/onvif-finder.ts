/** Finds streams of ONVIF cameras: asks the network who is there, then each where its streams are. */
import { messageOf } from "@ocelli/protocol";
import type { Clock } from "../clock/clock.ts";
import { shownUrl } from "../devices/network/url.ts";
import { askStreamAddresses, type StreamAddress } from "../devices/onvif/stream-addresses.ts";
import { discoverOnvif, type OnvifAnswer } from "../devices/onvif/ws-discovery.ts";
import { Limiter } from "../store/limiter.ts";
import type { FoundStream, StreamFinder } from "./stream-search.ts";

export interface OnvifFinderOptions {
  readonly clock: Clock;
  /** How long answers of the network are waited for, and then those of each camera. */
  readonly timeoutMs: number;
  /** All without. */
  readonly interfaces?: readonly string[];
}

const maxAskedAtOnce = 16;

export function onvifFinder({ clock, timeoutMs, interfaces }: OnvifFinderOptions): StreamFinder {
  return {
    kind: "onvif",
    async find(signal) {
      const answers = await discoverOnvif({
        ...{ clock, timeoutMs, signal },
        ...(interfaces === undefined ? {} : { interfaces }),
      });
      const limiter = new Limiter(maxAskedAtOnce);
      const found = await Promise.all(
        answers.map((answer) =>
          limiter.run(async () => {
            signal.throwIfAborted();
            return streamsOf(answer, clock, timeoutMs, signal);
          }),
        ),
      );
      return found.flat();
    },
  };
}

async function streamsOf(
  answer: OnvifAnswer,
  clock: Clock,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<FoundStream[]> {
  // A camera with a certificate of its own making answers over http only.
  const service = answer.services.find((url) => url.startsWith("http:")) ?? answer.services[0] ?? "";
  let reason = "The camera names no stream.";
  try {
    const streams = await askStreamAddresses(service, { clock, timeoutMs, signal });
    if (streams.length > 0) return streams.map((stream) => found(answer, service, stream));
  } catch (error) {
    signal.throwIfAborted();
    reason = `${messageOf(error)} Its settings or its manual tell the address of its stream, to be added with user and password.`;
  }
  const { url: _, ...camera } = found(answer, service, undefined);
  return [{ ...camera, url: service, status: "ERROR", reason }];
}

function found(answer: OnvifAnswer, service: string, stream: StreamAddress | undefined): FoundStream {
  const { address, endpoint, hardware, location } = answer;
  const name = answer.name ?? hardware ?? address;
  const facts = { address, hardware, location, profile: stream?.profile };
  const video = { codec: stream?.encoding?.toLowerCase(), resolution: stream?.resolution };
  return {
    url: shownUrl(new URL(stream?.url ?? service)),
    name: stream?.profile === undefined ? name : `${name} ${stream.profile}`,
    type: "generic_rtsp",
    status: "DISCOVERED",
    capabilities: present({
      found_by: "onvif",
      ...facts,
      endpoint,
      service: shownUrl(new URL(service)),
      ...video,
    }),
  };
}

function present(facts: Readonly<Record<string, string | undefined>>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(facts).filter((entry): entry is [string, string] => entry[1] !== undefined),
  );
}
