/**
 * Which known camera an attached device is. Pure rules, in this order; only cameras that are absent and of the same
 * kind can be taken:
 *
 * 1. Serial number, vendor and product equal, and the same bus path.
 * 2. Serial number, vendor and product equal on another bus path: the camera was moved to another port. Not when
 *    several absent cameras carry that serial, nor when another device attached now is this very camera (rule 1):
 *    makers do ship cameras with equal serials, and then only the bus path tells them apart.
 * 3. Without a serial number: bus path and name equal (for URLs the bus path alone, so that renaming is harmless).
 * 4. Without a serial number on another bus path: name, vendor and product equal, when exactly one absent camera and
 *    no other device still to be matched has them. Two equal cameras moved at once cannot be told apart and become
 *    new ones.
 *
 * Several nodes of one USB device, and one URL configured twice, are told apart by their index as well. For other
 * devices the kernel counts the index anew at each plugging, so it only breaks ties.
 */
import type { DeviceIdentity, DeviceKind } from "../devices/device.ts";

export interface Identified {
  readonly kind: DeviceKind;
  readonly identity: DeviceIdentity;
}

/**
 * @param absent known cameras that no device is attached for
 * @param others further devices attached now that are still to be matched
 */
export function matchIdentity<K extends Identified>(
  device: Identified,
  absent: readonly K[],
  others: readonly Identified[] = [],
): K | undefined {
  const candidates = absent.filter((known) => known.kind === device.kind);
  const here = candidates.filter((known) => isSamePlace(device, known));
  const exact = here.find((known) => known.identity.index === device.identity.index) ?? here[0];
  if (exact !== undefined || device.kind !== "v4l2") return exact;
  const isAlike = hasSerial(device.identity) ? hasSameSerial : hasSameName;
  const moved = candidates.filter((known) => isAlike(device.identity, known.identity));
  const [only] = moved;
  if (only === undefined || moved.length > 1) return undefined;
  const taken = hasSerial(device.identity)
    ? others.some((other) => isSamePlace(other, only))
    : others.some((other) => other.kind === device.kind && hasSameName(other.identity, only.identity));
  return taken ? undefined : only;
}

function isSamePlace(device: Identified, known: Identified): boolean {
  const a = device.identity;
  const b = known.identity;
  if (device.kind !== known.kind || a.busPath !== b.busPath) return false;
  if (a.index !== b.index && (device.kind !== "v4l2" || a.vendorProduct !== undefined)) return false;
  if (device.kind !== "v4l2") return true;
  return hasSerial(a) || hasSerial(b)
    ? hasSameSerial(a, b)
    : a.name === b.name && a.vendorProduct === b.vendorProduct;
}

function hasSameName(a: DeviceIdentity, b: DeviceIdentity): boolean {
  const isInterface = a.vendorProduct === undefined || a.index === b.index;
  return (
    !hasSerial(a) && !hasSerial(b) && a.name === b.name && a.vendorProduct === b.vendorProduct && isInterface
  );
}

function hasSerial(identity: DeviceIdentity): boolean {
  return identity.serial !== undefined;
}

function hasSameSerial(a: DeviceIdentity, b: DeviceIdentity): boolean {
  return hasSerial(a) && a.serial === b.serial && a.vendorProduct === b.vendorProduct && a.index === b.index;
}
