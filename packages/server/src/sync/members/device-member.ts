/** A MultiCam device somewhere in the network as a member: told the instant, stopped, and its file fetched. */
import { rm, rmdir } from "node:fs/promises";
import { type DeviceResult, MultiCamController, MultiCamError } from "@ocelli/client/node";
import { type ErrorCode, messageOf, OcelliError } from "@ocelli/protocol";
import type { ClockSync } from "../../clock/sync/state.ts";
import type { Log } from "../../log/log.ts";
import type { SessionMember, SyncSession } from "../contract.ts";
import { trueStartUs } from "../session-clock.ts";
import { fileStem, syncFacts } from "./camera-member.ts";
import { type ImportParts, importFile } from "./import-file.ts";
import type { MemberChange, MemberDriver } from "./members.ts";
import { fetchFolder } from "./work-folder.ts";

/** A device has at least so long to accept its start, and is given up so long before the common instant. */
const shortestArmMs = 2000;
const letGoMs = 500;
/** So long after its instant a device that waited has begun, and says so. */
const lookAgainMs = 2000;

interface DeviceFile {
  readonly fileId?: string | undefined;
  readonly fileName?: string | undefined;
}

export interface DeviceDriverOptions extends ImportParts {
  readonly clockSync: Pick<ClockSync, "state">;
  /** Where files arrive before they are entries of the library; on the same file system as that. */
  readonly folder: string;
  readonly log: Log;
  /** For tests: how the controller waits. */
  readonly controller?: ConstructorParameters<typeof MultiCamController>[0];
}

export function deviceDriver(options: DeviceDriverOptions): MemberDriver & { close(): Promise<void> } {
  const { clock, clockSync, log } = options;
  const now = (): number => (clock.wallUs() + clockSync.state.offsetUs) / 1e6;
  const controller = new MultiCamController({ now, ...options.controller });
  const closing = new AbortController();
  /** Devices that may still begin although nobody wants it any more. */
  const standingDown = new Map<string, AbortController>();
  const idOf = ({ member }: SessionMember): string => {
    if (member.kind !== "multicam") throw new OcelliError("internal", "a camera was taken for a device");
    return controller.add(member).id;
  };

  return {
    async arm(session, member, closed) {
      const id = idOf(member);
      standingDown.get(id)?.abort();
      using inTime = armedInTime(session, member);
      const signal = AbortSignal.any([closed, inTime.signal]);
      const before = await controller.status(id, { signal }).catch((error: unknown) => {
        throw asOcelliError(error);
      });
      if (before.isRecording) {
        throw new OcelliError("already_recording", `${member.name} is recording already. Stop it first.`);
      }
      const { clockOffset, roundTrip, deviceId } = controller.device(id);
      // Devices start by true time, which the hub's clock may be off from.
      const at = trueStartUs(session) / 1e6;
      try {
        settled((await controller.startRecording({ at, devices: [id], signal })).results[0]);
      } catch (error) {
        // The others are let go when this is known: before the instant, without a frame.
        if (!isRefusal(error)) void standDown(session, id);
        throw error;
      }
      return {
        state: "armed",
        declared: {
          ...(deviceId === undefined ? {} : { deviceId }),
          ...(clockOffset === undefined ? {} : { clockOffset }),
          ...(roundTrip === undefined ? {} : { roundTrip }),
        },
      };
    },

    resume: () => ({}),

    // It has been told true time, which has not changed.
    rearm: () => undefined,

    async stop(session, member, note) {
      const id = idOf(member);
      const { declared = {} } = member;
      if (declared.fileName !== undefined) return fetchFiles(id, session, member, declared, note);
      try {
        const stopped = settled(
          (await controller.stopRecording({ devices: [id], signal: closing.signal }))[0],
        );
        const { fileId, fileName, fileSize } = stopped;
        note({
          declared: {
            ...declared,
            ...(fileId === undefined ? {} : { fileId }),
            ...(fileName === undefined && fileId === undefined ? {} : { fileName: fileName ?? fileId ?? "" }),
            ...(fileSize === undefined ? {} : { fileSize }),
          },
        });
        return await fetchFiles(id, session, member, { fileId, fileName }, note);
      } catch (error) {
        log.warn({ err: error, member: member.key }, "a device could not be stopped");
        void standDown(session, id, true);
        // As of a camera.
        const hasNotBegun = isRefusal(asOcelliError(error)) && clock.wallUs() < session.startAtUs;
        const why = hasNotBegun
          ? "It was stopped before its first frame."
          : stillThere("It did not end its recording", error, member);
        return { state: "failed", error: why, declared };
      }
    },

    cancel: (session, member) => standDown(session, idOf(member)),

    async close() {
      closing.abort(new OcelliError("device_unreachable", "The hub is shutting down."));
      await controller.close();
    },
  };

  /**
   * It may have taken a start that nobody wants any more, and would record with nobody to stop it. One that says it is
   * idle while it waits is sent no stop (`stopRecording`): so that is looked at again once its instant has come. Settles
   * after the first try. Given up when the device takes part in another session.
   */
  async function standDown(session: SyncSession, id: string, isTold = false): Promise<void> {
    standingDown.get(id)?.abort();
    const takesPart = new AbortController();
    standingDown.set(id, takesPart);
    const signal = AbortSignal.any([closing.signal, takesPart.signal]);
    const stop = (): Promise<unknown> =>
      controller.stopRecording({ devices: [id], signal }).catch(() => undefined);
    if (!isTold) await stop();
    const aheadMs = Math.max(0, (session.startAtUs - clock.wallUs()) / 1000);
    clock.sleep(aheadMs + lookAgainMs, signal).then(stop, () => undefined);
  }

  /** So that those who are ready can be let go before the instant when one does not answer. */
  function armedInTime(session: SyncSession, member: SessionMember) {
    const late = new AbortController();
    const aheadMs = (session.startAtUs - clock.wallUs()) / 1000;
    const cancel = clock.after(Math.max(shortestArmMs, aheadMs - letGoMs), () => {
      const { lastError } = controller.device(idOf(member));
      const why = lastError ?? `${member.name} has not answered.`;
      late.abort(new OcelliError("device_unreachable", `It was not ready before the common instant. ${why}`));
    });
    return { signal: late.signal, [Symbol.dispose]: cancel };
  }

  /**
   * What was fetched stays when a later file cannot be, or the hub goes down; what was fetched and not taken in stays
   * where it is.
   */
  async function fetchFiles(
    id: string,
    session: SyncSession,
    member: SessionMember,
    stopped: DeviceFile,
    note: (change: MemberChange) => void,
  ): Promise<MemberChange> {
    const deviceId = member.declared?.deviceId ?? controller.device(id).deviceId;
    const key = deviceId === undefined || isCameraName(deviceId) ? member.key : deviceId;
    const stem = fileStem(session, { key });
    // By its address: of two devices that call themselves the same, one must not clear away what the other receives.
    const folder = fetchFolder(options.folder, fileStem(session, member));
    const files = [...member.files];
    try {
      for (const file of (await filesOf(id, stopped, deviceId)).slice(files.length)) {
        const { path, bytes } = await controller.download(id, file, { folder, signal: closing.signal });
        log.info({ member: member.key, bytes }, "a file of a device has been fetched");
        const request = {
          ...{ path, cameraId: key, cameraName: member.name, sync: syncFacts(session) },
          ...{ clockThen: session.clock, beganAtUs: session.startAtUs },
          stem: files.length === 0 ? stem : `${stem}_part${files.length + 1}`,
          signal: closing.signal,
        };
        files.push(await importFile(request, options));
        note({ files: [...files] });
      }
      await rm(folder, { recursive: true, force: true });
      return { state: "completed", files };
    } catch (error) {
      log.warn({ err: error, member: member.key, folder }, "a file of a device could not be fetched");
      // Unless something came in.
      await rmdir(folder).catch(() => undefined);
      return { state: "failed", error: stillThere("Its file could not be fetched", error, member), files };
    }
  }

  /** A hub that records in segments answers a stop with the last one; its list has those before. */
  async function filesOf(id: string, last: DeviceFile, deviceId = ""): Promise<DeviceFile[]> {
    const before = /^Ocelli-/.test(deviceId) ? segmentsBefore(last.fileName) : [];
    if (before.length === 0) return [last];
    const listed = await controller.listFiles(id, { signal: closing.signal });
    const names = new Set(listed.map(({ fileName }) => fileName));
    return [...before.filter((fileName) => names.has(fileName)).map((fileName) => ({ fileName })), last];
  }
}

/** `a.mp4` and `a_part2.mp4` for `a_part3.mp4`. */
function segmentsBefore(fileName = ""): string[] {
  const [, stem, part, extension] = /^(.+)_part(\d{1,5})(\.\w+)$/.exec(fileName) ?? [];
  return Array.from({ length: Math.max(0, Number(part ?? 1) - 1) }, (_, i) =>
    i === 0 ? `${stem}${extension}` : `${stem}_part${i + 1}${extension}`,
  );
}

/** Its files would be taken for those of the hub's own camera, by its keys and its own controllers too. */
function isCameraName(deviceId: string): boolean {
  return /^camera\d+$/i.test(deviceId.trim());
}

/** What happened, and how people may still get what the device recorded. */
function stillThere(what: string, error: unknown, { key }: Pick<SessionMember, "key">): string {
  const fetch = `What it recorded may still be on it: \`ocelli multicam download ${key}\` fetches it.`;
  return `${what}. ${messageOf(asOcelliError(error)).replace(/[.]?$/, ".")} ${fetch}`;
}

function settled<T>(result: DeviceResult<T> | undefined): T {
  if (result === undefined) throw new OcelliError("internal", "a device gave no result");
  if (result.ok) return result.value;
  throw asOcelliError(result.error);
}

/** The device said no; otherwise nobody knows whether it took the start. */
function isRefusal(error: unknown): boolean {
  return (
    error instanceof OcelliError && error.cause instanceof MultiCamError && error.cause.status !== undefined
  );
}

const codes: Partial<Record<MultiCamError["code"], ErrorCode>> = {
  unreachable: "device_unreachable",
  timeout: "device_unreachable",
  stalled: "device_unreachable",
  time_not_synchronized: "clock_not_synchronised",
  file_not_found: "file_not_found",
  camera_disconnected: "camera_disconnected",
  storage_failed: "storage_failed",
};

function asOcelliError(error: unknown): OcelliError {
  if (error instanceof OcelliError) return error;
  const code = error instanceof MultiCamError ? (codes[error.code] ?? "device_failed") : "device_failed";
  const said = messageOf(error);
  if (code !== "clock_not_synchronised") return new OcelliError(code, said, { cause: error });
  const todo = "Its clock is not right: let it reach a time server first.";
  return new OcelliError(code, `${said.replace(/[.]?$/, ".")} ${todo}`, { cause: error });
}
