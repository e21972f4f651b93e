/** A camera on a video node, and how ffmpeg opens it. */
import { OcelliError } from "@ocelli/protocol";
import type { DeviceControls } from "../controls.ts";
import type { CaptureInput, Device, DeviceCapabilities, DeviceIdentity } from "../device.ts";
import { captureFormat } from "../formats.ts";
import type { NodeProblem } from "./node-problem.ts";

export interface V4l2DeviceOptions {
  readonly node: string;
  readonly identity: DeviceIdentity;
  readonly capabilities?: DeviceCapabilities;
  readonly problem?: NodeProblem;
  readonly controls?: DeviceControls;
}

export class V4l2Device implements Device {
  readonly kind = "v4l2";
  readonly node: string;
  readonly identity: DeviceIdentity;
  readonly name: string;
  readonly capabilities?: DeviceCapabilities;
  readonly problem?: NodeProblem;
  readonly controls?: DeviceControls;

  constructor(options: V4l2DeviceOptions) {
    this.node = options.node;
    this.identity = options.identity;
    this.name = readableName(options.capabilities?.card ?? options.identity.name);
    if (options.capabilities !== undefined) this.capabilities = options.capabilities;
    if (options.problem !== undefined) this.problem = options.problem;
    if (options.controls !== undefined) this.controls = options.controls;
  }

  input(mode: { format: string; width: number; height: number; fps: number }): CaptureInput {
    const format = captureFormat(mode.format);
    if (format === undefined) {
      throw new OcelliError(
        "unsupported",
        `ffmpeg cannot capture the pixel format ${mode.format} of ${this.node}. Choose another format of this camera.`,
        { details: { node: this.node, format: mode.format } },
      );
    }
    return {
      args: [
        "-f",
        "v4l2",
        // The kernel's own stamp of each buffer; see docs/architecture.md.
        "-ts",
        "default",
        "-input_format",
        format.inputFormat,
        "-video_size",
        `${mode.width}x${mode.height}`,
        "-framerate",
        String(mode.fps),
        // The rate is known: do not hold frames back to estimate it.
        "-fpsprobesize",
        "0",
        "-i",
        this.node,
      ],
      video: format.encoded ? "copy" : { encodeArgs: encodeOnce(mode) },
      timeSource: "kernel",
      audio: false,
    };
  }
}

/** H.264 plays in every browser and is small; one keyframe a second keeps joining and cutting cheap. */
function encodeOnce(mode: { width: number; height: number; fps: number }): readonly string[] {
  const odd = mode.width % 2 !== 0 || mode.height % 2 !== 0;
  return [
    ...(odd ? ["-vf", "crop=trunc(iw/2)*2:trunc(ih/2)*2"] : []),
    "-c:v",
    "libx264",
    "-preset",
    "ultrafast",
    "-tune",
    "zerolatency",
    "-crf",
    "21",
    "-pix_fmt",
    "yuv420p",
    "-g",
    String(Math.max(1, Math.round(mode.fps))),
  ];
}

/** UVC cards are often called `HD Webcam: HD Webcam`, cut off at 31 letters. */
function readableName(card: string): string {
  const [first = "", second] = card.split(": ", 2);
  return second !== undefined && first !== "" && first.startsWith(second.slice(0, first.length))
    ? first
    : card;
}
