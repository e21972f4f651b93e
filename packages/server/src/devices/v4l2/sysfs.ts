/**
 * Who a video node is, by sysfs alone: the driver's `bus_info` would do as well, but a camera must be recognised
 * even while its node cannot be opened. USB paths are written as the kernel writes them in `bus_info`
 * (usb_make_path).
 */
import { readFileSync, realpathSync } from "node:fs";
import { basename, dirname, join, relative } from "node:path";
import type { DeviceIdentity } from "../device.ts";

const nodesPerInterface = 16;

/** @param sysDir `/sys` in real life */
export function readIdentity(sysDir: string, nodeName: string): DeviceIdentity {
  const folder = join(sysDir, "class", "video4linux", nodeName);
  const name = read(folder, "name") ?? nodeName;
  const index = Number.parseInt(read(folder, "index") ?? "0", 10) || 0;
  const device = realPath(join(folder, "device"));
  if (device === undefined) return { busPath: `virtual:${nodeName}`, name, index };
  const usb = usbParent(realPath(sysDir) ?? sysDir, device);
  if (usb === undefined) return { busPath: platformPath(device), name, index };
  // Some cameras are several cameras on several interfaces, each with a node 0 and all with the same name.
  const usbInterface = Number.parseInt(read(device, "bInterfaceNumber") ?? "0", 16) || 0;
  return { ...usb, name, index: usbInterface * nodesPerInterface + index };
}

/**
 * Whether a node that cannot be opened is worth a word. USB cameras come with a metadata node beside each capture
 * node, and a user without permission should not be told of two cameras. udev has written down what the node can
 * do; without it, a further node of the same USB interface is taken for metadata.
 * @param udevDir `/run/udev` in real life
 */
export function mayCapture(udevDir: string, rdev: number, identity: DeviceIdentity): boolean {
  const major = (rdev >>> 8) & 0xfff;
  const minor = (rdev & 0xff) | ((rdev >>> 12) & 0xfff00);
  const known = /^E:ID_V4L_CAPABILITIES=(.*)$/m.exec(read(join(udevDir, "data"), `c${major}:${minor}`) ?? "");
  if (known !== null) return known[1]?.includes(":capture:") ?? false;
  return identity.vendorProduct === undefined || identity.index % nodesPerInterface === 0;
}

function usbParent(
  sysDir: string,
  device: string,
): { serial?: string; vendorProduct: string; busPath: string } | undefined {
  for (const folder of upwards(sysDir, device)) {
    const vendor = read(folder, "idVendor");
    const product = read(folder, "idProduct");
    if (vendor === undefined || product === undefined) continue;
    const serial = usableSerial(read(folder, "serial"));
    const port = read(folder, "devpath") ?? basename(folder);
    return {
      ...(serial !== undefined && { serial }),
      vendorProduct: `${vendor}:${product}`,
      busPath: `usb-${hostControllerOf(sysDir, folder)}-${port}`,
    };
  }
  return undefined;
}

/** The device the root hub `usbN` hangs on, such as `0000:00:14.0`. */
function hostControllerOf(sysDir: string, usbDevice: string): string {
  for (const folder of upwards(sysDir, usbDevice)) {
    if (/^usb\d+$/.test(basename(folder))) return basename(dirname(folder));
  }
  return "unknown";
}

function* upwards(sysDir: string, from: string): Generator<string> {
  for (let folder = from; isBelow(sysDir, folder); folder = dirname(folder)) yield folder;
}

function isBelow(parent: string, child: string): boolean {
  const path = relative(parent, child);
  return path !== "" && !path.startsWith("..");
}

function platformPath(device: string): string {
  const name = basename(device);
  return /^[0-9a-f]{4}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]$/.test(name) ? `PCI:${name}` : `platform:${name}`;
}

/** Cheap cameras carry placeholders instead of a serial number. */
function usableSerial(serial: string | undefined): string | undefined {
  if (serial === undefined || serial === "") return undefined;
  return /^[0.\s-]+$/.test(serial) ||
    /^(?:none|n\/a|serial|sn0*1?|0*1|1234567890?|0123456789abcdef)$/i.test(serial)
    ? undefined
    : serial;
}

function read(folder: string, file: string): string | undefined {
  try {
    return readFileSync(join(folder, file), "utf8").trim();
  } catch {
    return undefined;
  }
}

function realPath(path: string): string | undefined {
  try {
    return realpathSync(path);
  } catch {
    return undefined;
  }
}
