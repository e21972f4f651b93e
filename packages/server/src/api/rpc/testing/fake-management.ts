/** Storage figures and retention in memory, for tests of the adapter. */
import { OcelliError } from "@ocelli/protocol";
import { effectiveSettings } from "../../../config/effective.ts";
import { configSchema } from "../../../config/schema.ts";
import type { ScopedPolicy } from "../../../library/retention-policy.ts";
import type { Schedule } from "../../../recording/schedule-store.ts";
import type { RpcServices } from "../services.ts";
import { cameraView } from "./fakes.ts";

function noSync(): never {
  throw new OcelliError("not_found", "There is no such thing here.");
}

export function fakeManagement(): Pick<
  RpcServices,
  | "cameraSettings"
  | "storageReport"
  | "retention"
  | "schedules"
  | "configuration"
  | "externalStreams"
  | "streamSearch"
  | "views"
  | "sync"
  | "sessionFiles"
  | "clockSync"
> {
  const policies: ScopedPolicy[] = [];
  const schedules: Schedule[] = [];
  const settings = { wishes: {}, nextMode: undefined, preRollS: 0, continuousRecording: false };
  const current = (name: string) => ({
    ...settings,
    camera: cameraView(Number(/\d+/.exec(name)?.[0] ?? 0)),
    recordCodec: "copy" as const,
  });
  return {
    cameraSettings: { get: current, set: current },
    configuration: () => effectiveSettings(configSchema.parse({}), new Map()),
    externalStreams: {
      async add() {
        throw new OcelliError("unsupported", "No streams here.");
      },
      async remove() {
        throw new OcelliError("unsupported", "No streams here.");
      },
      list: () => [],
    },
    streamSearch: {
      known: [],
      async search() {
        throw new OcelliError("unsupported", "No search here.");
      },
      changeInterval() {
        throw new OcelliError("unsupported", "No search here.");
      },
    },
    schedules: {
      add(request) {
        const schedule: Schedule = {
          ...{ id: `s${schedules.length}`, format: "mp4", state: "scheduled", createdAtUs: 0, files: [] },
          ...request,
        };
        schedules.push(schedule);
        return schedule;
      },
      list: () => schedules,
      async cancel(id) {
        const found = schedules.find((one) => one.id === id);
        if (found === undefined) throw new OcelliError("invalid_params", `There is no schedule ${id}.`);
        return { ...found, state: "cancelled" };
      },
    },
    sync: {
      groups: () => [],
      create: ({ name, members }) => ({ id: "g1", name, members: [...members], createdAtUs: 0 }),
      remove: noSync,
      begin: noSync,
      end: noSync,
      sessions: () => ({ sessions: [], total: 0 }),
      session: noSync,
      running: () => [],
      runningOf: noSync,
    },
    sessionFiles: { report: noSync, align: noSync, remove: noSync },
    clockSync: {
      state: {
        ...{ synchronised: true, source: "chrony", offsetUs: 0, uncertaintyUs: 900 },
        ...{ servers: [], measuredAtUs: 0, reason: undefined },
      },
    },
    views: {
      viewersOf: () => 1,
      totalsOf: () => ({ framesSent: 7, bytesSent: 1234, framesLost: 0 }),
    },
    storageReport: {
      measure: async () => ({
        totalBytes: 1000,
        freeBytes: 250,
        mediaBytes: { recording: 500, snapshot: 20 },
        lowBytes: 100,
        criticalBytes: 40,
        isLow: false,
        isCritical: false,
      }),
    },
    retention: {
      policies: () => policies,
      set: (scoped) => void policies.push(scoped),
      cleanup: async () => ({ recordings: 2, snapshots: 1, bytes: 77, kept: 0, partial: false }),
    },
  };
}
