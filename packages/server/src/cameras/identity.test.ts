import { describe, expect, it } from "vitest";
import type { DeviceIdentity } from "../devices/device.ts";
import { type Identified, matchIdentity } from "./identity.ts";

function usb(busPath: string, serial?: string, more: Partial<DeviceIdentity> = {}): Identified {
  const identity = { vendorProduct: "046d:0825", busPath, name: "HD Webcam", index: 0, ...more };
  return { kind: "v4l2", identity: serial === undefined ? identity : { ...identity, serial } };
}

const url = (busPath: string, name = "door", index = 0): Identified => ({
  kind: "rtsp",
  identity: { busPath, name, index },
});

const platform = (name: string, index: number): Identified => ({
  kind: "v4l2",
  identity: { busPath: "platform:vivid.0", name, index },
});

describe("matchIdentity", () => {
  const cases: [
    what: string,
    device: Identified,
    absent: Identified[],
    match: number | undefined,
    others?: Identified[],
  ][] = [
    ["nothing known", usb("p1", "A"), [], undefined],
    ["same serial, same port", usb("p1", "A"), [usb("p2", "B"), usb("p1", "A")], 1],
    ["same serial, other port", usb("p2", "A"), [usb("p1", "A")], 0],
    ["other serial, same port: another camera", usb("p1", "B"), [usb("p1", "A")], undefined],
    ["same serial, other product", usb("p1", "A", { vendorProduct: "1:2" }), [usb("p1", "A")], undefined],
    ["equal serials: the bus path tells", usb("p2", "A"), [usb("p1", "A"), usb("p2", "A")], 1],
    ["equal serials, new port: undecidable", usb("p3", "A"), [usb("p1", "A"), usb("p2", "A")], undefined],
    [
      "a twin is not the camera whose own device is there too",
      usb("p2", "A"),
      [usb("p1", "A")],
      undefined,
      [usb("p1", "A")],
    ],
    [
      "another node of the device",
      usb("p1", "A", { index: 48 }),
      [usb("p1", "A"), usb("p1", "A", { index: 48 })],
      1,
    ],
    ["another node of the device, not known", usb("p1", "A", { index: 48 }), [usb("p1", "A")], undefined],
    ["no serial: same port and name", usb("p1"), [usb("p1")], 0],
    ["no serial: moved to another port", usb("p2"), [usb("p1")], 0],
    ["no serial: two alike are away", usb("p3"), [usb("p1"), usb("p2")], undefined],
    ["no serial: two alike came", usb("p3"), [usb("p1")], undefined, [usb("p2")]],
    [
      "no serial: another interface on another port",
      usb("p2", undefined, { index: 48 }),
      [usb("p1")],
      undefined,
    ],
    ["no serial: other name", usb("p1", undefined, { name: "Other" }), [usb("p1")], undefined],
    ["no serial now, one before", usb("p1"), [usb("p1", "A")], undefined],
    [
      "platform device whose index changed",
      platform("vivid-001", 0),
      [platform("vivid-000", 0), platform("vivid-001", 1)],
      1,
    ],
    [
      "platform devices that differ by index alone",
      platform("x", 1),
      [platform("x", 0), platform("x", 1)],
      1,
    ],
    ["URL under a new name", url("rtsp://h/1", "gate"), [url("rtsp://h/1")], 0],
    ["another URL", url("rtsp://h/2"), [url("rtsp://h/1")], undefined],
    [
      "the same URL twice",
      url("rtsp://h/1", "door", 1),
      [url("rtsp://h/1"), url("rtsp://h/1", "door", 1)],
      1,
    ],
    ["another kind", { ...url("x"), kind: "http" }, [url("x")], undefined],
  ];
  it.each(cases)("%s", (_what, device, absent, match, others = []) => {
    expect(matchIdentity(device, absent, others)).toBe(match === undefined ? undefined : absent[match]);
  });
});
