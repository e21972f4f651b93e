/** Recording together, what came of it, and the clock. */
import { OcelliError } from "@ocelli/protocol";
import { isoOf, type ResultOf } from "@ocelli/protocol/camera-service";
import type { MemberReport, SyncGroup, SyncMember, SyncReport, SyncSession } from "../../../sync/contract.ts";
import { keyOf } from "../../../sync/session-state.ts";
import type { MethodImplementation, MethodTable } from "./method.ts";

const reportLinkS = 3600;

const getClockStatus: MethodImplementation<"get_clock_status"> = {
  run(_params, _call, { clockSync }) {
    const { synchronised, source, offsetUs, uncertaintyUs, servers, measuredAtUs, reason } = clockSync.state;
    return {
      synchronised,
      source,
      offset_ms: offsetUs / 1000,
      uncertainty_ms: msOf(uncertaintyUs),
      servers: [...servers],
      measured_at: isoOf(measuredAtUs),
      reason: reason ?? null,
    };
  },
};

const createSyncGroup: MethodImplementation<"create_sync_group"> = {
  lane: () => "sync",
  run({ name, members, tolerance_ms }, _call, { sync }) {
    const chosen = members.map((member): SyncMember => {
      if (typeof member === "string") return { kind: "camera", cameraId: member };
      const { host, port = 8080, name: shown } = member;
      return { kind: "multicam", host, port, ...(shown === undefined ? {} : { name: shown }) };
    });
    return groupObject(sync.create({ name, members: chosen, toleranceMs: tolerance_ms }));
  },
};

const getSyncGroups: MethodImplementation<"get_sync_groups"> = {
  run(_params, _call, { sync }) {
    const groups = sync.groups().map(groupObject);
    return { groups, total: groups.length };
  },
};

const deleteSyncGroup: MethodImplementation<"delete_sync_group"> = {
  lane: () => "sync",
  run: ({ group }, _call, { sync }) => groupObject(sync.remove(group)),
};

const startSyncRecording: MethodImplementation<"start_sync_recording"> = {
  lane: ({ group }) => `sync/${group}`,
  async run({ group, start_time, delay, duration, allow_partial, name }, _call, { sync }) {
    const session = await sync.begin({
      group,
      name,
      atUs: start_time,
      delayS: delay,
      durationS: duration,
      allowPartial: allow_partial,
    });
    return sessionObject(session);
  },
};

const stopSyncRecording: MethodImplementation<"stop_sync_recording"> = {
  async run({ session_id, group }, _call, { sync }) {
    if (session_id === undefined && group === undefined) {
      throw new OcelliError(
        "invalid_params",
        "Name the session by session_id, or the group that records by group.",
        {
          details: { param: "session_id" },
        },
      );
    }
    return sessionObject(await sync.end(session_id ?? sync.runningOf(group ?? "").id));
  },
};

const getSyncSessions: MethodImplementation<"get_sync_sessions"> = {
  run({ session_id, running, limit, offset }, _call, { sync }) {
    if (session_id !== undefined) return { sessions: [sessionObject(sync.session(session_id))], total: 1 };
    if (running === true) {
      const open = sync.running();
      return { sessions: open.map(sessionObject), total: open.length };
    }
    const { sessions, total } = sync.sessions({ limit: limit ?? 100, offset: offset ?? 0 });
    return { sessions: sessions.map(sessionObject), total };
  },
};

const deleteSyncSession: MethodImplementation<"delete_sync_session"> = {
  async run({ session_id, delete_files }, _call, { sessionFiles }) {
    const { session, deleted } = await sessionFiles.remove(session_id, delete_files ?? false);
    return { ...sessionObject(session), deleted_files: [...deleted] };
  },
};

const getSyncReport: MethodImplementation<"get_sync_report"> = {
  async run({ session_id }, { session }, { sessionFiles, links }) {
    const report = await sessionFiles.report(session_id);
    const link = links.sign(`/api/sync/sessions/${encodeURIComponent(session_id)}/report.html`, reportLinkS);
    return reportObject(report, `${session.origin ?? ""}${link}`);
  },
};

const alignSyncSession: MethodImplementation<"align_sync_session"> = {
  async run({ session_id, preview }, { signal, requestId, notify }, { sync, sessionFiles, clock }) {
    const { name } = sync.session(session_id);
    let told = -1;
    const aligned = await sessionFiles.align(session_id, {
      signal,
      onProgress: (progress) => {
        // A hundred steps are enough for anyone.
        if (progress < 1 && progress - told < 0.01) return;
        told = progress;
        const timestamp = isoOf(clock.wallUs());
        const what = { source: name, format: "mp4", codec: "copy", request_id: requestId ?? null };
        notify("export_update", { ...what, progress, timestamp });
      },
      ...(preview === undefined ? {} : { preview }),
    });
    return {
      session_id,
      from_us: aligned.fromUs,
      to_us: aligned.toUs,
      members: aligned.members.map(({ key, filename, frames, method, firstFrameAtUs }) => ({
        ...{ member: key, filename, frames, method },
        first_frame_at_us: firstFrameAtUs,
      })),
      skipped: aligned.skipped.map(({ key, reason }) => ({ member: key, reason })),
      preview: aligned.preview ?? null,
    };
  },
};

function groupObject({
  id,
  name,
  members,
  toleranceMs,
  createdAtUs,
}: SyncGroup): ResultOf<"create_sync_group"> {
  return {
    group_id: id,
    name,
    members: members.map(keyOf),
    tolerance_ms: toleranceMs ?? null,
    created_at: isoOf(createdAtUs),
  };
}

function sessionObject(session: SyncSession): ResultOf<"start_sync_recording"> {
  const { id, groupId, name, state, startAtUs, durationS, endedAtUs, members, aligned = [] } = session;
  return {
    session_id: id,
    group_id: groupId,
    name,
    status: state,
    start_at: isoOf(startAtUs),
    start_at_us: startAtUs,
    duration: durationS ?? null,
    ended_at: endedAtUs === undefined ? null : isoOf(endedAtUs),
    members: members.map((one) => ({
      member: one.key,
      name: one.name,
      status: one.state,
      files: [...one.files],
      error: one.error ?? null,
    })),
    aligned_files: [...aligned],
  };
}

export function reportObject(report: SyncReport, reportUrl: string): ResultOf<"get_sync_report"> {
  const { session, common, members, verdict, findings, skewMs, toleranceMs } = report;
  const { synchronised, source, offsetUs, uncertaintyUs } = session.clock;
  return {
    session: sessionObject(session),
    verdict,
    findings: [...findings],
    skew_ms: skewMs ?? null,
    tolerance_ms: toleranceMs,
    common:
      common === undefined
        ? null
        : { from_us: common.fromUs, to_us: common.toUs, duration: (common.toUs - common.fromUs) / 1e6 },
    members: members.map(memberObject),
    clock: { synchronised, source, offset_ms: offsetUs / 1000, uncertainty_ms: msOf(uncertaintyUs) },
    report_url: reportUrl,
  };
}

function memberObject(member: MemberReport): MemberObject {
  return {
    member: member.key,
    files: [...member.files],
    time_source: member.timeSource,
    first_frame_at_us: member.firstFrameAtUs ?? null,
    start_error_ms: member.startErrorMs ?? null,
    moved_ms: member.movedMs ?? null,
    frame_interval_ms: member.frameIntervalMs ?? null,
    nominal_interval_ms: member.nominalIntervalMs ?? null,
    frames_expected: member.framesExpected ?? null,
    frames_received: member.framesReceived ?? null,
    frames_dropped: member.framesDropped ?? null,
    duration: member.durationS ?? null,
    jitter_ms: member.interval?.deviationMs ?? null,
    median_interval_ms: member.interval?.medianMs ?? null,
    p99_interval_ms: member.interval?.percentile99Ms ?? null,
    longest_interval_ms: member.interval?.longestMs ?? null,
    uncertainty_ms: member.uncertaintyMs ?? null,
    declared: declaredObject(member),
    notes: [...member.notes],
  };
}

type MemberObject = ResultOf<"get_sync_report">["members"][number];

function declaredObject({ declared }: MemberReport): MemberObject["declared"] {
  if (declared === undefined) return null;
  const { deviceId, fileName, fileSize, clockOffset, roundTrip } = declared;
  return {
    device_id: deviceId ?? null,
    file_name: fileName ?? null,
    file_size: fileSize ?? null,
    clock_offset_ms: clockOffset === undefined ? null : clockOffset * 1000,
    // An answer tells the offset to half of the time it took.
    clock_uncertainty_ms: roundTrip === undefined ? null : roundTrip * 500,
  };
}

function msOf(us: number | undefined): number | null {
  return us === undefined ? null : us / 1000;
}

export const syncImplementations = {
  get_clock_status: getClockStatus,
  create_sync_group: createSyncGroup,
  get_sync_groups: getSyncGroups,
  delete_sync_group: deleteSyncGroup,
  start_sync_recording: startSyncRecording,
  stop_sync_recording: stopSyncRecording,
  get_sync_sessions: getSyncSessions,
  delete_sync_session: deleteSyncSession,
  get_sync_report: getSyncReport,
  align_sync_session: alignSyncSession,
} satisfies Partial<MethodTable>;
