/** Events as somebody limited to some cameras hears of them: those of other cameras never happen. */
import { type Limited, maySee } from "../../auth/camera-limit.ts";
import type { EventRecord } from "../../event-log/contract.ts";
import type { Severity } from "../../events/catalogue.ts";
import { cameraOf } from "./event-shapes.ts";

/** The record, less what it tells of other cameras; `undefined` when nothing is left. */
export type EventView = (record: EventRecord) => EventRecord | undefined;

const everything: EventView = (record) => record;

/**
 * For one reader of events in their order: what is wrong is told to the limited when it changed for them.
 * What belongs to no camera, and is not named here, may hold files of any.
 */
export function eventViewOf(who: Limited): EventView {
  if (who?.cameras === undefined) return everything;
  let problemsTold = "[]";
  let severity: Severity = "ok";
  return (record) => {
    const camera = cameraOf(record);
    if (camera !== undefined) return maySee(who, camera) ? record : undefined;
    switch (record.name) {
      case "system.health": {
        const problems = record.payload.problems.filter(({ cameraId }) => maySee(who, cameraId));
        const text = JSON.stringify(problems);
        if (text === problemsTold) return undefined;
        problemsTold = text;
        const previous = severity;
        severity = worst(problems);
        return { ...record, payload: { severity, previous, problems } };
      }
      case "storage.level":
      case "clock.step":
      case "clock.state":
      case "system.startup":
      case "system.shutdown":
        return record;
      default:
        return undefined;
    }
  };
}

function worst(problems: readonly { readonly severity: "warning" | "critical" }[]): Severity {
  if (problems.length === 0) return "ok";
  return problems.some(({ severity }) => severity === "critical") ? "critical" : "warning";
}
