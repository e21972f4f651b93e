import { describe, expect, it } from "vitest";
import type { DeviceCapabilities } from "../devices/device.ts";
import { chooseMode, type ModeWishes } from "./mode-choice.ts";

type Sizes = Record<string, readonly number[]>;

/** `{ MJPG: { "1280x720": [30, 15] } }` */
function capabilities(
  formats: Record<string, Sizes>,
  more: Partial<DeviceCapabilities> = {},
): DeviceCapabilities {
  return {
    driver: "uvcvideo",
    card: "",
    busInfo: "",
    formats: Object.entries(formats).map(([fourcc, sizes]) => ({
      fourcc,
      description: "",
      compressed: fourcc === "MJPG" || fourcc === "H264",
      sizes: Object.entries(sizes).map(([size, rates]) => ({
        width: Number(size.split("x")[0]),
        height: Number(size.split("x")[1]),
        intervals: rates.map((rate) => ({ numerator: 1000, denominator: rate * 1000 })),
      })),
    })),
    ...more,
  };
}

const webcam = capabilities({
  YUYV: { "640x480": [30, 15], "1280x720": [10], "1920x1080": [5] },
  MJPG: { "640x480": [60, 30], "1280x720": [30], "1920x1080": [30, 15] },
});

function chosen(of: DeviceCapabilities, wishes?: ModeWishes): string {
  const { mode, wishesUnmet } = chooseMode(of, wishes);
  return `${mode.format} ${mode.width}x${mode.height}@${mode.fps}${wishesUnmet ? " unmet" : ""}`;
}

describe("chooseMode", () => {
  const cases: [what: string, of: DeviceCapabilities, wishes: ModeWishes, choice: string][] = [
    ["the largest fluent picture, encoded", webcam, {}, "MJPG 1920x1080@30"],
    [
      "a larger picture under 15 frames a second does not win",
      capabilities({ YUYV: { "1280x720": [10], "640x480": [30] } }),
      {},
      "YUYV 640x480@30",
    ],
    [
      "rates above 60 are left alone",
      capabilities({ MJPG: { "640x480": [120, 60, 30] } }),
      {},
      "MJPG 640x480@60",
    ],
    ["unless there is no other", capabilities({ MJPG: { "640x480": [120, 90] } }), {}, "MJPG 640x480@90"],
    [
      "a slow camera at its best rate",
      capabilities({ MJPG: { "2592x1944": [2], "1280x960": [7.5] } }),
      {},
      "MJPG 1280x960@7.5",
    ],
    [
      "MJPEG before H.264 before raw at the same size and rate",
      capabilities({ YUYV: { "640x480": [30] }, H264: { "640x480": [30] }, MJPG: { "640x480": [30] } }),
      {},
      "MJPG 640x480@30",
    ],
    [
      "H.264 when it is larger",
      capabilities({ MJPG: { "640x480": [30] }, H264: { "1920x1080": [30] } }),
      {},
      "H264 1920x1080@30",
    ],
    [
      "raw for its higher rate alone does not beat the limit",
      capabilities({ YUYV: { "640x480": [60] }, MJPG: { "640x480": [30] } }),
      {},
      "MJPG 640x480@30",
    ],
    [
      "raw pictures beyond full HD are not taken unasked",
      capabilities({ YUYV: { "3840x2160": [30], "1280x720": [30] } }),
      {},
      "YUYV 1280x720@30",
    ],
    ["unless there are no others", capabilities({ YUYV: { "3840x2160": [30] } }), {}, "YUYV 3840x2160@30"],
    ["30 where the driver names no rate", capabilities({ MJPG: { "640x480": [] } }), {}, "MJPG 640x480@30"],
    [
      "formats ffmpeg cannot read do not count",
      capabilities({ HEVC: { "3840x2160": [30] }, YUYV: { "640x480": [30] } }),
      {},
      "YUYV 640x480@30",
    ],
    ["small cameras", capabilities({ GREY: { "160x120": [9] } }), {}, "GREY 160x120@9"],
    ["a wished format", webcam, { format: "YUYV" }, "YUYV 640x480@30"],
    ["a wished size", webcam, { width: 1280, height: 720 }, "MJPG 1280x720@30"],
    ["a wished rate takes the nearest", webcam, { width: 1920, height: 1080, fps: 20 }, "MJPG 1920x1080@15"],
    ["a wish beyond the limits for raw", webcam, { format: "YUYV", width: 1920 }, "YUYV 1920x1080@5"],
    ["a wish nothing meets", webcam, { width: 123 }, "MJPG 1920x1080@30 unmet"],
    [
      "no enumeration: the current format",
      capabilities({}, { current: { fourcc: "MJPG", width: 800, height: 600 } }),
      {},
      "MJPG 800x600@30",
    ],
    ["nothing known at all", capabilities({}), {}, "MJPG 640x480@30"],
  ];
  it.each(cases)("%s", (_what, of, wishes, choice) => {
    expect(chosen(of, wishes)).toBe(choice);
  });

  it("takes a loopback node in the size it is fed, whatever range it claims", () => {
    const base = capabilities({ MJPG: { "640x480": [], "8192x8192": [] } });
    const [format] = base.formats;
    if (format === undefined) throw new Error("no format");
    const range = { minWidth: 2, maxWidth: 8192, stepWidth: 1, minHeight: 1, maxHeight: 8192, stepHeight: 1 };
    const loopback = {
      ...base,
      driver: "v4l2 loopback",
      formats: [{ ...format, range }],
      current: { fourcc: "MJPG", width: 320, height: 240 },
    };
    expect(chosen(loopback)).toBe("MJPG 320x240@30");
  });
});
