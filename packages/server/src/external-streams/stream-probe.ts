/** Looks at a network stream before it is called a camera: whether it can be opened, and holds video the hub can take. */
import { OcelliError } from "@ocelli/protocol";
import { captureProblem } from "../cameras/capture-problems.ts";
import type { Clock } from "../clock/clock.ts";
import type { Device } from "../devices/device.ts";
import { inputOptions } from "../devices/network/inputs.ts";
import { probe } from "../ffmpeg/probe.ts";
import { maskSecrets } from "../log/mask.ts";
import type { VideoCodec } from "../media/fragment.ts";

export interface StreamFacts {
  readonly codec: VideoCodec;
  readonly width: number;
  readonly height: number;
  /** 0 where the stream does not say. */
  readonly fps: number;
  readonly audio: boolean;
}

export interface StreamProbeOptions {
  readonly clock: Clock;
  readonly ffprobe: string;
  readonly timeoutMs: number;
  readonly signal?: AbortSignal;
}

/** What the hub records and shows without decoding. */
const codecs: readonly VideoCodec[] = ["h264", "hevc", "mjpeg", "av1"];
/** Bounds of what ffprobe reads: bytes, and microseconds of media. */
const maxBytes = 5_000_000;
const maxMediaUs = 5_000_000;

/**
 * @throws OcelliError `capture_failed` when it cannot be opened in time or holds no video; `unsupported` for video the
 *   hub cannot take; the abort reason
 */
export async function probeStream(device: Device, options: StreamProbeOptions): Promise<StreamFacts> {
  const shown = device.identity.busPath;
  await device.prepare?.(options.signal);
  const input = device.input({ format: "unknown", width: 0, height: 0, fps: 0 });
  const { url, options: args } = inputOptions(input);
  const secrets = input.secrets ?? [];
  try {
    const { video, audio } = await probe(url, {
      clock: options.clock,
      program: options.ffprobe,
      inputArgs: [...args, "-probesize", String(maxBytes), "-analyzeduration", String(maxMediaUs)],
      timeoutMs: options.timeoutMs,
      secrets,
      ...(options.signal === undefined ? {} : { signal: options.signal }),
    });
    if (video === undefined) {
      throw new OcelliError("capture_failed", `${shown} holds no video that could be read.`);
    }
    const { codec: found = "unknown", width = 0, height = 0, fps = 0 } = video;
    const codec = codecs.find((one) => one === found);
    if (codec === undefined) {
      throw new OcelliError(
        "unsupported",
        `The video of ${shown} is ${found}. The hub takes H.264, HEVC, AV1 and MJPEG: choose one of them in the camera.`,
        { details: { url: shown, codec: found } },
      );
    }
    return { codec, width, height, fps, audio: audio !== undefined };
  } catch (error) {
    options.signal?.throwIfAborted();
    if (!(error instanceof OcelliError)) throw error;
    if (error.code !== "ffmpeg_failed" && error.code !== "media_malformed") throw error;
    const { stderr, timedOut } = error.details;
    const lines = Array.isArray(stderr) ? stderr.map(String) : [];
    const what =
      timedOut === true
        ? `no first frame for ${options.timeoutMs / 1000} s`
        : (lines.at(-1) ?? "it could not be read");
    const { message } = captureProblem(maskSecrets(what, secrets), lines, shown, true);
    throw new OcelliError("capture_failed", message, { details: { url: shown } });
  }
}
