/**
 * Credentials that are good for some cameras only: the rule, and its form in the database. To somebody limited the
 * other cameras do not exist: they are refused with the very words of an unknown one.
 */
import { cameraNotFound } from "../cameras/not-found.ts";
import { optionalText, type Row } from "../store/database.ts";
import type { Identity } from "./identity.ts";

/** Whom a limit concerns: `undefined` for the hub itself, which has none. */
export type Limited = Pick<Identity, "cameras"> | undefined;

/** @param cameraId `undefined` for what belongs to no camera, which everybody may see */
export function maySee(who: Limited, cameraId: string | undefined): boolean {
  return who?.cameras === undefined || cameraId === undefined || who.cameras.has(cameraId);
}

/**
 * @param spelled what the caller called it, for the answer
 * @throws OcelliError `camera_not_found`
 */
export function assertMaySee(who: Limited, cameraId: string, spelled: string = cameraId): void {
  if (!maySee(who, cameraId)) throw cameraNotFound(spelled, [...(who?.cameras ?? [])]);
}

/** What two limits leave together. */
export function bothLimits(
  a: ReadonlySet<string> | undefined,
  b: ReadonlySet<string> | undefined,
): ReadonlySet<string> | undefined {
  if (a === undefined) return b;
  return b === undefined ? a : new Set([...a].filter((id) => b.has(id)));
}

/** As a column holds it: a JSON list, NULL for all. */
export function cameraList(cameras: ReadonlySet<string> | undefined): string | null {
  return cameras === undefined ? null : JSON.stringify([...cameras]);
}

/** @throws TypeError for a column that holds no such list: a damaged limit must not become none */
export function readCameraList(row: Row): ReadonlySet<string> | undefined {
  const stored = optionalText(row, "cameras");
  if (stored === undefined) return undefined;
  const list: unknown = JSON.parse(stored);
  if (!Array.isArray(list) || !list.every((id) => typeof id === "string")) {
    throw new TypeError("column cameras holds no list of camera ids");
  }
  return new Set(list);
}
