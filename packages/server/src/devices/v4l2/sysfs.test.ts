import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { mayCapture, readIdentity } from "./sysfs.ts";

let sys: string;
beforeEach(() => {
  sys = mkdtempSync(join(tmpdir(), "ocelli-sys-"));
});
afterEach(() => rmSync(sys, { recursive: true, force: true }));

function put(path: string, content: string): void {
  mkdirSync(dirname(join(sys, path)), { recursive: true });
  writeFileSync(join(sys, path), `${content}\n`);
}

/** As the kernel lays it out: the class entry links to its device. */
function node(name: string, card: string, index: number, device?: string): void {
  put(`class/video4linux/${name}/name`, card);
  put(`class/video4linux/${name}/index`, String(index));
  if (device === undefined) return;
  mkdirSync(join(sys, device), { recursive: true });
  symlinkSync(join(sys, device), join(sys, `class/video4linux/${name}/device`));
}

describe("readIdentity", () => {
  const usb = "devices/pci0000:00/0000:00:14.0/usb1/1-1/1-1.2";

  it("knows a USB camera by serial, product and port, written as the kernel's bus_info", () => {
    node("video2", "HD Webcam: HD Webcam", 1, `${usb}/1-1.2:1.0`);
    put(`${usb}/idVendor`, "046d");
    put(`${usb}/idProduct`, "0825");
    put(`${usb}/serial`, "5F3A1C20");
    put(`${usb}/devpath`, "1.2");
    expect(readIdentity(sys, "video2")).toEqual({
      serial: "5F3A1C20",
      vendorProduct: "046d:0825",
      busPath: "usb-0000:00:14.0-1.2",
      name: "HD Webcam: HD Webcam",
      index: 1,
    });
  });

  it.each(["0", "000000000000", "SN0001", "1234567890", "none"])("takes serial %s for none", (serial) => {
    node("video0", "cam", 0, `${usb}/1-1.2:1.0`);
    put(`${usb}/idVendor`, "1bcf");
    put(`${usb}/idProduct`, "2284");
    put(`${usb}/serial`, serial);
    expect(readIdentity(sys, "video0").serial).toBeUndefined();
  });

  it("tells the cameras apart that one USB device has on several interfaces", () => {
    node("video0", "Depth camera", 0, `${usb}/1-1.2:1.0`);
    node("video2", "Depth camera", 0, `${usb}/1-1.2:1.3`);
    put(`${usb}/idVendor`, "8086");
    put(`${usb}/idProduct`, "0b07");
    put(`${usb}/1-1.2:1.0/bInterfaceNumber`, "00");
    put(`${usb}/1-1.2:1.3/bInterfaceNumber`, "03");
    expect(readIdentity(sys, "video0").index).toBe(0);
    expect(readIdentity(sys, "video2").index).toBe(48);
  });

  it("knows other cameras by their device", () => {
    node("video0", "vivid-000-vid-cap", 0, "devices/platform/vivid.0");
    expect(readIdentity(sys, "video0").busPath).toBe("platform:vivid.0");
    node("video1", "capture card", 0, "devices/pci0000:00/0000:03:00.0");
    expect(readIdentity(sys, "video1").busPath).toBe("PCI:0000:03:00.0");
  });

  it("makes do where sysfs says nothing", () => {
    expect(readIdentity(sys, "video7")).toEqual({
      busPath: "virtual:video7",
      name: "video7",
      index: 0,
    });
  });
});

describe("mayCapture", () => {
  const identity = { vendorProduct: "1:2", busPath: "usb", name: "cam", index: 0 };

  it("goes by what udev has written down", () => {
    put("udev/data/c81:3", "I:1\nE:ID_V4L_VERSION=2\nE:ID_V4L_CAPABILITIES=:capture:");
    put("udev/data/c81:4", "E:ID_V4L_CAPABILITIES=:");
    expect(mayCapture(join(sys, "udev"), 81 * 256 + 3, { ...identity, index: 1 })).toBe(true);
    expect(mayCapture(join(sys, "udev"), 81 * 256 + 4, identity)).toBe(false);
  });

  it("takes the first node of each USB interface otherwise, and every other node", () => {
    const may = (index: number): boolean => mayCapture(join(sys, "none"), 1, { ...identity, index });
    expect([0, 1, 48, 49].map(may)).toEqual([true, false, true, false]);
    expect(mayCapture(join(sys, "none"), 1, { busPath: "platform:x", name: "x", index: 3 })).toBe(true);
  });
});
