/**
 * A camera behind an HTTP URL. The URL does not tell whether it gives MJPEG (whose frames have no times) or a stream
 * that carries its own, so the server is asked for the content type before the first capture; of MPEG-TS, so much is read
 * as shows how the ends of its pictures are known.
 */
import { messageOf, OcelliError } from "@ocelli/protocol";
import type { Clock } from "../../clock/clock.ts";
import type { CaptureInput, Device } from "../device.ts";
import { type HttpOptions, httpMjpegInput, httpStreamInput } from "./inputs.ts";
import { type TransportStream, transportStream, wantsMore } from "./transport-stream.ts";
import { basicAuthorization, shownUrl, withoutCredentials } from "./url.ts";

const unreachable: ReadonlySet<string> = new Set([
  "ECONNREFUSED",
  "ECONNRESET",
  "EHOSTUNREACH",
  "ENETUNREACH",
  "ENOTFOUND",
  "EAI_AGAIN",
  "ETIMEDOUT",
  "UND_ERR_CONNECT_TIMEOUT",
]);

/** Streams that carry times can be told by their usual endings where the server refuses to say. */
const streamEnding = /\.(?:m3u8|ts|flv|mp4|mkv|mpd|webm)$/i;

export function httpDevice(
  url: string,
  common: Omit<Device, "kind" | "input">,
  clock: Clock,
  options: HttpOptions,
): Device {
  let content: Content | undefined;
  return {
    ...common,
    kind: "http",
    async prepare(signal) {
      content ??= await contentOf(url, clock, options.timeoutMs, signal);
    },
    input(): CaptureInput {
      if (content?.mjpeg ?? !streamEnding.test(new URL(url).pathname)) return httpMjpegInput(url, options);
      return httpStreamInput(url, options, content?.transportStream);
    },
  };
}

interface Content {
  readonly mjpeg: boolean;
  readonly transportStream: TransportStream | undefined;
}

/** `undefined` when the server answers but does not say, for instance because it wants digest authentication. */
async function contentOf(
  url: string,
  clock: Clock,
  timeoutMs: number,
  signal: AbortSignal | undefined,
): Promise<Content | undefined> {
  const parsed = new URL(url);
  const authorization = basicAuthorization(parsed);
  const address = shownUrl(parsed);
  const timeout = new AbortController();
  const stopTimer = clock.after(timeoutMs, () => timeout.abort());
  // Ends the endless body as soon as enough of it is known.
  const enough = new AbortController();
  try {
    const response = await fetch(withoutCredentials(parsed), {
      headers: authorization === undefined ? {} : { authorization },
      signal: AbortSignal.any([timeout.signal, enough.signal, ...(signal === undefined ? [] : [signal])]),
    });
    const type = response.headers.get("content-type") ?? "";
    if (response.status === 404 || response.status === 403 || response.status >= 500) {
      throw new OcelliError(
        "capture_failed",
        `${address} answers ${response.status} ${response.statusText}.`,
        {
          details: { url: address, status: response.status },
        },
      );
    }
    if (!response.ok || type === "") return undefined;
    const mjpeg = /multipart\/|image\/jpe?g/i.test(type);
    if (mjpeg) return { mjpeg, transportStream: undefined };
    const stopLooking = clock.after(lookMs, () => enough.abort());
    const head = await beginningOf(response).finally(stopLooking);
    signal?.throwIfAborted();
    return { mjpeg, transportStream: transportStream(head) };
  } catch (error) {
    if (error instanceof OcelliError) throw error;
    signal?.throwIfAborted();
    const cause = error instanceof Error ? error.cause : undefined;
    const code = cause instanceof Error && "code" in cause ? String(cause.code) : "";
    if (!timeout.signal.aborted && !unreachable.has(code)) return undefined;
    const why = timeout.signal.aborted ? `no answer within ${timeoutMs / 1000} s` : code || messageOf(error);
    throw new OcelliError(
      "capture_failed",
      `${address} cannot be reached (${why}). Check that the camera is on and its address is right.`,
      { details: { url: address }, cause: error },
    );
  } finally {
    stopTimer();
    enough.abort();
  }
}

/** What of a stream is looked at before it is opened, at most. */
const lookMs = 1000;
const lookBytes = 4 << 20;

/** As much as came until it was enough, whyever no more did. */
async function beginningOf({ body }: Response): Promise<Buffer> {
  let head = Buffer.alloc(0);
  try {
    for await (const chunk of body ?? []) {
      head = Buffer.concat([head, chunk]);
      if (!wantsMore(head) || head.length > lookBytes) break;
    }
  } catch {
    // ffmpeg will find out what is wrong with it, and say so.
  }
  return head;
}
