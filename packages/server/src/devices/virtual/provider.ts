/**
 * Virtual cameras: a moving test pattern made by ffmpeg in real time, with frame number and time drawn for people
 * and as blocks (`pattern.ts`). For trying the hub without a camera, and for tests. Whether they are offered at all
 * is decided above.
 */
import { existsSync } from "node:fs";
import { OcelliError } from "@ocelli/protocol";
import type { CaptureInput, Device, DeviceCapabilities, DeviceEvent, DeviceProvider } from "../device.ts";
import { patternFilters, patternHeight, patternWidth } from "./pattern.ts";

export interface VirtualCamera {
  /** At least 320 x 48, both even: the pattern's blocks need the room. */
  readonly width: number;
  readonly height: number;
  /** Frames a second, 1 to 120. */
  readonly fps: number;
  readonly codec: "h264" | "mjpeg";
  /** Default `Virtual camera`, numbered when there are several. */
  readonly name?: string;
}

export interface VirtualProviderOptions {
  readonly cameras: readonly VirtualCamera[];
  /**
   * Font file for the text. Default: the first customary one that exists; none, or `false`, leaves the text out
   * (also needed where ffmpeg has no `drawtext`).
   */
  readonly font?: string | false;
}

/** Debian's ffmpeg brings DejaVu along through fontconfig. */
const customaryFonts = [
  "/usr/share/fonts/truetype/dejavu/DejaVuSansMono.ttf",
  "/usr/share/fonts/TTF/DejaVuSansMono.ttf",
  "/usr/share/fonts/dejavu-sans-mono-fonts/DejaVuSansMono.ttf",
  "/usr/share/fonts/truetype/liberation/LiberationMono-Regular.ttf",
  "/usr/share/fonts/truetype/freefont/FreeMono.ttf",
];

export class VirtualProvider implements DeviceProvider {
  readonly name = "virtual";
  readonly #devices: readonly Device[];

  /** @throws OcelliError `config_invalid` */
  constructor(options: VirtualProviderOptions) {
    const font = options.font ?? customaryFonts.find((file) => existsSync(file)) ?? false;
    const several = options.cameras.length > 1;
    this.#devices = options.cameras.map((camera, index) => {
      check(camera, index);
      return virtualDevice(
        camera,
        index,
        camera.name ?? `Virtual camera${several ? ` ${index + 1}` : ""}`,
        font,
      );
    });
  }

  async start(listener: (event: DeviceEvent) => void): Promise<void> {
    for (const device of this.#devices) listener({ type: "found", device });
  }

  async rescan(): Promise<void> {}

  async close(): Promise<void> {}
}

function check(camera: VirtualCamera, index: number): void {
  const { width, height, fps } = camera;
  const even = width % 2 === 0 && height % 2 === 0;
  if (even && width >= patternWidth && height >= patternHeight && width <= 4096 && height <= 2160) {
    if (fps >= 1 && fps <= 120) return;
  }
  throw new OcelliError(
    "config_invalid",
    `Virtual camera ${index + 1} cannot be ${width}x${height} at ${fps} frames a second. Allowed are even sizes from ${patternWidth}x${patternHeight} to 4096x2160 and 1 to 120 frames a second.`,
    { details: { index, width, height, fps } },
  );
}

function virtualDevice(camera: VirtualCamera, index: number, name: string, font: string | false): Device {
  const { width, height, fps, codec } = camera;
  const fourcc = codec === "h264" ? "H264" : "MJPG";
  const interval = { numerator: 1000, denominator: Math.round(fps * 1000) };
  const capabilities: DeviceCapabilities = {
    driver: "virtual",
    card: name,
    busInfo: `virtual:${index}`,
    formats: [
      {
        fourcc,
        description: codec === "h264" ? "H.264" : "Motion-JPEG",
        compressed: true,
        sizes: [{ width, height, intervals: [interval] }],
      },
    ],
    current: { fourcc, width, height },
  };
  return {
    kind: "virtual",
    name,
    identity: { busPath: `virtual:${index}`, name: "virtual", index: 0 },
    capabilities,
    input: () => captureInput(camera, name, font),
  };
}

function captureInput(camera: VirtualCamera, name: string, font: string | false): CaptureInput {
  const { width, height, fps, codec } = camera;
  const graph = [
    `testsrc2=size=${width}x${height}:rate=${fps}`,
    // While the picture is drawn, timestamps are wall time; afterwards they count frames again.
    "settb=1/1000000",
    "setpts=RTCTIME",
    patternFilters(),
    ...(font === false ? [] : [drawText(name, font, width)]),
    `settb=${tick(fps)}`,
    "setpts=N",
  ].join(",");
  return {
    // Without the limits the first twenty frames are made at once, ahead of their time, to estimate a known rate.
    args: ["-re", "-f", "lavfi", "-fpsprobesize", "0", "-probesize", "32", "-i", graph],
    video: {
      encodeArgs: codec === "h264" ? h264(fps) : mjpeg,
    },
    timeSource: "arrival",
    audio: false,
  };
}

/** One frame interval in seconds as a fraction. */
function tick(fps: number): string {
  return Number.isInteger(fps) ? `1/${fps}` : `1000/${Math.round(fps * 1000)}`;
}

/** With threads the encoder gives a frame when it is given the next, and not in every run. */
const mjpeg = ["-c:v", "mjpeg", "-q:v", "5", "-pix_fmt", "yuvj420p", "-threads", "1"] as const;

function h264(fps: number): readonly string[] {
  const gop = String(Math.max(1, Math.round(fps)));
  return [
    "-c:v",
    "libx264",
    "-preset",
    "ultrafast",
    "-tune",
    "zerolatency",
    "-pix_fmt",
    "yuv420p",
    "-g",
    gop,
  ];
}

function drawText(name: string, font: string, width: number): string {
  // About fifty letters of a monospaced font fit across the picture.
  const size = Math.max(10, Math.min(48, Math.floor(width / 30)));
  // Only letters that mean nothing to the filter's three levels of quoting.
  const label = name.replaceAll(/[^\p{L}\p{N} ._-]/gu, " ");
  const text = `${label}  frame %{n}  %{localtime}`;
  return `drawtext=fontfile='${font}':text='${text}':x=8:y=${patternHeight + 8}:fontsize=${size}:fontcolor=white:box=1:boxborderw=4:boxcolor=black`;
}
