import { constants } from "node:os";
import { describe, expect, it } from "vitest";
import { bufferTypes, ioctls } from "./abi.ts";
import { askNode, type SystemCalls } from "./ask-node.ts";

const { EINVAL, EACCES, ENOTTY } = constants.errno;

interface FakeDriver {
  caps: number;
  deviceCaps?: number;
  driver?: string;
  formats?: { fourcc: string; compressed?: boolean }[];
  sizes?: [number, number][];
  range?: number[];
  rates?: [number, number][];
  rateRange?: [number, number, number, number];
  current?: [string, number, number];
}

const numberOf = (fourcc: string): number => Buffer.from(fourcc).readUInt32LE(0);

/** A driver in JavaScript: fills the same structs as the kernel. */
function calls(driver: FakeDriver, log: string[] = []): SystemCalls {
  const list = <T>(items: readonly T[], argument: Buffer, fill: (item: T) => void): number => {
    const item = items[argument.readUInt32LE(0)];
    if (item === undefined) return -EINVAL;
    fill(item);
    return 0;
  };
  return {
    open: () => 7,
    close: () => log.push("close"),
    ioctl(_fd, request, argument) {
      switch (request) {
        case ioctls.VIDIOC_QUERYCAP:
          argument.write(driver.driver ?? "uvcvideo", 0);
          argument.write("A camera with a name of 31 letters", 16, 32, "utf8");
          argument.write("usb-0000:00:14.0-1", 48);
          argument.writeUInt32LE(0x06015a, 80);
          argument.writeUInt32LE(
            (driver.caps | (driver.deviceCaps === undefined ? 0 : 0x80000000)) >>> 0,
            84,
          );
          argument.writeUInt32LE(driver.deviceCaps ?? 0, 88);
          return 0;
        case ioctls.VIDIOC_ENUM_FMT:
          log.push(`type ${argument.readUInt32LE(4)}`);
          return list(driver.formats ?? [], argument, (format) => {
            argument.writeUInt32LE(format.compressed === true ? 1 : 0, 8);
            argument.write(`the ${format.fourcc} format`, 12);
            argument.writeUInt32LE(numberOf(format.fourcc), 44);
          });
        case ioctls.VIDIOC_ENUM_FRAMESIZES:
          if (driver.range !== undefined) {
            return list([driver.range], argument, (range) => {
              argument.writeUInt32LE(3, 8);
              range.forEach((value, at) => {
                argument.writeUInt32LE(value, 12 + 4 * at);
              });
            });
          }
          return list(driver.sizes ?? [], argument, ([width, height]) => {
            argument.writeUInt32LE(1, 8);
            argument.writeUInt32LE(width, 12);
            argument.writeUInt32LE(height, 16);
          });
        case ioctls.VIDIOC_ENUM_FRAMEINTERVALS:
          if (driver.rateRange !== undefined) {
            return list([driver.rateRange], argument, (range) => {
              argument.writeUInt32LE(3, 16);
              range.forEach((value, at) => {
                argument.writeUInt32LE(value, 20 + 4 * at);
              });
            });
          }
          return list(driver.rates ?? [], argument, ([numerator, denominator]) => {
            argument.writeUInt32LE(1, 16);
            argument.writeUInt32LE(numerator, 20);
            argument.writeUInt32LE(denominator, 24);
          });
        case ioctls.VIDIOC_G_FMT:
          if (driver.current === undefined) return -EINVAL;
          argument.writeUInt32LE(driver.current[1], 8);
          argument.writeUInt32LE(driver.current[2], 12);
          argument.writeUInt32LE(numberOf(driver.current[0]), 16);
          return 0;
        default:
          return -ENOTTY;
      }
    },
  };
}

describe("askNode", () => {
  it("reads formats, sizes, intervals and the current format, and closes the node", () => {
    const log: string[] = [];
    const driver: FakeDriver = {
      caps: 0x1,
      formats: [{ fourcc: "YUYV" }, { fourcc: "MJPG", compressed: true }],
      sizes: [[1280, 720]],
      rates: [
        [1, 10],
        [1001, 30000],
        [0, 0],
      ],
      current: ["MJPG", 640, 480],
    };
    const answer = askNode("/dev/video0", calls(driver, log));
    expect(answer).toMatchObject({
      kind: "camera",
      multiplanar: false,
      capabilities: {
        card: "A camera with a name of 31 lette",
        busInfo: "usb-0000:00:14.0-1",
        version: "6.1.90",
        abilities: { device: ["Video Capture"], node: ["Video Capture"] },
        current: { fourcc: "MJPG", width: 640, height: 480 },
        formats: [
          { fourcc: "YUYV", compressed: false },
          {
            fourcc: "MJPG",
            description: "the MJPG format",
            compressed: true,
            sizes: [
              {
                width: 1280,
                height: 720,
                intervals: [
                  { numerator: 1001, denominator: 30000 },
                  { numerator: 1, denominator: 10 },
                ],
              },
            ],
          },
        ],
      },
    });
    expect(log.at(-1)).toBe("close");
  });

  it("tells the abilities of the device from those of the node", () => {
    const answer = askNode("/dev/video0", calls({ caps: 0x84a00001, deviceCaps: 0x04200001 }));
    expect(answer).toMatchObject({
      kind: "camera",
      capabilities: {
        abilities: {
          device: [
            ...["Video Capture", "Metadata Capture", "Streaming", "Extended Pix Format"],
            "Device Capabilities",
          ],
          node: ["Video Capture", "Streaming", "Extended Pix Format"],
        },
      },
    });
  });

  it("offers customary sizes and rates of a range", () => {
    const answer = askNode(
      "/dev/video0",
      calls({
        caps: 0x1,
        formats: [{ fourcc: "YUYV" }],
        range: [16, 1920, 16, 16, 1200, 8],
        rateRange: [1, 50, 1, 5],
      }),
    );
    if (answer.kind !== "camera") throw new Error("no camera");
    const [format] = answer.capabilities.formats;
    const sizes = format?.sizes.map((size) => `${size.width}x${size.height}`);
    expect(sizes).toContain("640x480");
    expect(sizes).toContain("1920x1080");
    expect(sizes).toContain("1920x1200");
    expect(sizes).not.toContain("2560x1440");
    expect(format?.range?.stepWidth).toBe(16);
    expect(format?.sizes[0]?.intervals.map((one) => one.denominator / one.numerator)).toEqual([
      50, 30, 25, 24, 20, 15, 10, 5,
    ]);
  });

  it("asks for multi-planar formats where there are no others", () => {
    const log: string[] = [];
    const answer = askNode("/dev/video0", calls({ caps: 0x1000, formats: [{ fourcc: "NV12" }] }, log));
    expect(answer).toMatchObject({ kind: "camera", multiplanar: true });
    expect(log[0]).toBe(`type ${bufferTypes.videoCaptureMplane}`);
  });

  it.each([
    ["a metadata node of a camera", { caps: 0x800001, deviceCaps: 0x800000 }],
    ["an output", { caps: 0x2 }],
    ["a codec", { caps: 0x4001 }],
    ["a part of a pipeline", { caps: 0x20000001 }],
    ["an image signal processor", { caps: 0x1, driver: "bcm2835-isp" }],
  ] satisfies [string, FakeDriver][])("takes %s for no camera", (_what, driver) => {
    expect(askNode("/dev/video1", calls(driver)).kind).toBe("other");
  });

  it("says which call failed", () => {
    const open = { ...calls({ caps: 1 }), open: () => -EACCES };
    expect(askNode("/dev/video0", open)).toEqual({ kind: "failed", errno: EACCES, operation: "open" });
    const log: string[] = [];
    const ioctl = { ...calls({ caps: 1 }, log), ioctl: () => -ENOTTY };
    expect(askNode("/dev/video0", ioctl)).toMatchObject({ kind: "failed", errno: ENOTTY });
    expect(log).toEqual(["close"]);
  });

  it("is not held by a driver whose lists never end", () => {
    const endless: SystemCalls = {
      open: () => 7,
      close: () => undefined,
      ioctl: (_fd, request, argument) => {
        if (request === ioctls.VIDIOC_QUERYCAP) argument.writeUInt32LE(1, 84);
        if (request === ioctls.VIDIOC_ENUM_FRAMESIZES) return -EINVAL;
        return 0;
      },
    };
    expect(askNode("/dev/video0", endless)).toMatchObject({ kind: "camera" });
  });
});
