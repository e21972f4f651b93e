/**
 * Records several cameras and devices from one instant. Owns groups and sessions; how a member is driven is its
 * driver's business, what the files show is `report.ts`'s.
 *
 * Starting is all or nothing unless the caller wants otherwise: a session some members of which cannot take part is
 * called off before its instant, and those that were armed are let go.
 */
import { randomUUID } from "node:crypto";
import { messageOf, OcelliError } from "@ocelli/protocol";
import type { Cameras } from "../cameras/contract.ts";
import type { Clock } from "../clock/clock.ts";
import { type ClockSync, stampOf } from "../clock/sync/state.ts";
import type { EventBus } from "../events/bus.ts";
import type { RecordingView } from "../events/catalogue.ts";
import type { Log } from "../log/log.ts";
import { outcomeOf } from "./camera-member.ts";
import type { SessionMember, SyncGroup, SyncMember, SyncSession } from "./contract.ts";
import type { MemberChange, MemberDriver } from "./members.ts";
import { isOpen, type SyncStore } from "./store.ts";

export interface SyncGroupsOptions {
  readonly store: SyncStore;
  readonly cameras: Cameras;
  readonly drivers: Readonly<Record<SyncMember["kind"], MemberDriver>>;
  readonly clock: Clock;
  readonly clockSync: Pick<ClockSync, "state">;
  readonly bus: EventBus;
  readonly log: Log;
  /** How far ahead the common instant lies unless the caller says; cameras need it to warm up. Default 5. */
  readonly delayS?: number;
}

export interface NewGroup {
  readonly name: string;
  readonly members: readonly SyncMember[];
  readonly toleranceMs?: number | undefined;
}

export interface StartSession {
  readonly group: string;
  /** T0, epoch microseconds by the hub's clock. */
  readonly atUs?: number | undefined;
  /** Instead of `atUs`. */
  readonly delayS?: number | undefined;
  readonly durationS?: number | undefined;
  /** Begins with those members that can. Default false. */
  readonly allowPartial?: boolean | undefined;
  /** Part of the files' names; the group's otherwise. */
  readonly name?: string | undefined;
}

const longestAheadUs = 86_400e6;
const maxMembers = 64;

export class SyncGroups {
  readonly #options: SyncGroupsOptions;
  readonly #open = new Map<string, SyncSession>();
  readonly #timers = new Map<string, () => void>();
  /** Members being stopped. */
  readonly #stopping = new Map<string, Promise<void>>();
  /** Sessions whose members are being armed: the end of that, and how to give it up. */
  readonly #arming = new Map<string, { readonly giveUp: AbortController; readonly done: Promise<void> }>();
  readonly #closing = new AbortController();
  readonly #stops: (() => void)[];

  constructor(options: SyncGroupsOptions) {
    this.#options = options;
    const { bus, store } = options;
    for (const session of store.openSessions()) this.#open.set(session.id, session);
    this.#stops = [
      bus.on("recording.started", ({ recording }) => this.#follow(recording, recordingNow(recording))),
      bus.on("recording.progress", ({ recording }) => this.#followFiles(recording)),
      bus.on("recording.stopped", ({ recording }) => this.#follow(recording, outcomeOf(recording))),
      bus.on("recording.failed", ({ recording, error }) =>
        this.#follow(recording, outcomeOf(recording, error.message)),
      ),
    ];
  }

  /** Takes up sessions that were open when the hub went down. Call once recordings have been recovered. */
  start(): void {
    for (const session of [...this.#open.values()]) {
      for (const member of session.members) {
        if (member.state === "completed" || member.state === "failed") continue;
        const change = this.#driver(member).resume(session, member);
        if (change.state !== undefined) this.#change(session.id, member.key, change);
      }
      const open = this.#open.get(session.id);
      if (open !== undefined) this.#scheduleEnd(open);
    }
  }

  groups(): readonly SyncGroup[] {
    return this.#options.store.groups();
  }

  /** By id or name. @throws OcelliError `not_found` */
  group(key: string): SyncGroup {
    const groups = this.groups();
    const found = groups.find(({ id }) => id === key) ?? groups.find(({ name }) => name === key);
    if (found !== undefined) return found;
    throw new OcelliError(
      "not_found",
      `There is no sync group ${key}. Known: ${groups.map(({ name }) => name).join(", ") || "none"}.`,
      {
        details: { group: key },
      },
    );
  }

  /** A group of this name is replaced. @throws OcelliError `invalid_params`, `camera_not_found` */
  create({ name, members, toleranceMs }: NewGroup): SyncGroup {
    const { store, clock, cameras } = this.#options;
    const known = store.groups().find((one) => one.name === name);
    const resolved = members.map(
      (member): SyncMember =>
        member.kind === "camera" ? { ...member, cameraId: cameras.find(member.cameraId).id } : member,
    );
    refuseUnlessDistinct(resolved);
    const group: SyncGroup = {
      id: known?.id ?? randomUUID(),
      name,
      members: resolved,
      createdAtUs: known?.createdAtUs ?? clock.wallUs(),
      ...(toleranceMs === undefined ? {} : { toleranceMs }),
    };
    store.putGroup(group);
    return group;
  }

  /** Its sessions and files stay. @throws OcelliError `not_found`, `file_in_use` while it records */
  remove(key: string): SyncGroup {
    const group = this.group(key);
    const running = [...this.#open.values()].find(({ groupId }) => groupId === group.id);
    if (running !== undefined) {
      throw new OcelliError("file_in_use", `${group.name} is recording. Stop session ${running.id} first.`, {
        details: { session: running.id },
      });
    }
    this.#options.store.removeGroup(group.id);
    return group;
  }

  /** Newest first, running ones included. */
  sessions(limit = 100): readonly SyncSession[] {
    return this.#options.store.sessions(limit);
  }

  /** @throws OcelliError `not_found` */
  session(id: string): SyncSession {
    const session = this.#open.get(id) ?? this.#options.store.session(id);
    if (session !== undefined) return session;
    throw new OcelliError("not_found", `There is no sync session ${id}.`, { details: { session: id } });
  }

  /** The one running session of a group. @throws OcelliError `not_found`, `not_recording` */
  runningOf(groupKey: string): SyncSession {
    const group = this.group(groupKey);
    const session = [...this.#open.values()].find(({ groupId }) => groupId === group.id);
    if (session !== undefined) return session;
    throw new OcelliError("not_recording", `${group.name} is not recording.`, {
      details: { group: group.name },
    });
  }

  /**
   * Arms every member for one instant.
   * @returns the session, waiting for its instant
   * @throws OcelliError `not_found`, `invalid_params`, `already_recording`; of a member that cannot take part its own,
   *   with the member in the details; `not_recording` when it was ended before all were armed
   */
  async begin(request: StartSession): Promise<SyncSession> {
    const { clock, clockSync, store } = this.#options;
    const group = this.group(request.group);
    const running = [...this.#open.values()].find(({ groupId }) => groupId === group.id);
    if (running !== undefined) {
      throw new OcelliError(
        "already_recording",
        `${group.name} is recording already (session ${running.id}).`,
        {
          details: { session: running.id },
        },
      );
    }
    const startAtUs = this.#instant(request);
    const session: SyncSession = {
      id: randomUUID(),
      groupId: group.id,
      groupName: group.name,
      name: request.name ?? group.name,
      startAtUs,
      state: "armed",
      createdAtUs: clock.wallUs(),
      clock: stampOf(clockSync.state),
      members: group.members.map((member) => newMember(member, this.#options.cameras)),
      ...(request.durationS === undefined ? {} : { durationS: request.durationS }),
      ...(group.toleranceMs === undefined ? {} : { toleranceMs: group.toleranceMs }),
    };
    // Before anything is armed, so that a crash leaves a trace of what belongs together.
    this.#open.set(session.id, session);
    store.putSession(session);
    const giveUp = new AbortController();
    const done = Promise.withResolvers<void>();
    this.#arming.set(session.id, { giveUp, done: done.promise });
    try {
      return await this.#armAll(session, request, giveUp.signal);
    } finally {
      this.#arming.delete(session.id);
      done.resolve();
    }
  }

  async #armAll(
    session: SyncSession,
    { allowPartial }: StartSession,
    givenUp: AbortSignal,
  ): Promise<SyncSession> {
    const { clock } = this.#options;
    const signal = AbortSignal.any([this.#closing.signal, givenUp]);
    const armed = await Promise.all(session.members.map((member) => this.#arm(session, member, signal)));
    const failed = armed.filter(({ member }) => member.state === "failed");
    // Those that were ready early may have begun, and even ended, while the others were not.
    const now = this.session(session.id);
    if (givenUp.aborted) {
      await this.#callOff(now);
      throw givenUp.reason;
    }
    if (failed.length === armed.length || (failed.length > 0 && allowPartial !== true)) {
      await this.#callOff(now);
      throw memberError(failed, now);
    }
    this.#put(concluded(now, clock.wallUs()));
    if (isOpen(this.session(now.id))) this.#scheduleEnd(now);
    return this.session(now.id);
  }

  /**
   * Ends all members; settles when their files are finished and here. A session that is not armed yet is called off,
   * and not kept, unless a member has begun already.
   * @throws OcelliError `not_found`, `not_recording`
   */
  async end(id: string): Promise<SyncSession> {
    const session = this.session(id);
    if (!isOpen(session)) {
      throw new OcelliError("not_recording", `Session ${id} is over.`, { details: { session: id } });
    }
    const arming = this.#arming.get(id);
    if (session.state === "recording") await arming?.done;
    else if (arming !== undefined) {
      arming.giveUp.abort(
        new OcelliError(
          "not_recording",
          `${session.name} was stopped before all of its members were ready.`,
          {
            details: { session: id },
          },
        ),
      );
      await arming.done;
      return { ...settleAll(session), state: "failed", endedAtUs: this.#options.clock.wallUs() };
    }
    this.#cancelTimer(id);
    await Promise.all(this.session(id).members.map((member) => this.#stop(session, member)));
    const ended = this.session(id);
    // A member nobody heard of any more must not keep the session open.
    if (isOpen(ended)) this.#put(concluded(settleAll(ended), this.#options.clock.wallUs()));
    return this.session(id);
  }

  /** Ends nothing: recordings that run are finished by their own room, and taken up again at the next start. */
  close(): void {
    this.#closing.abort(new OcelliError("capture_failed", "The hub is shutting down."));
    for (const stop of this.#stops.splice(0)) stop();
    for (const id of [...this.#timers.keys()]) this.#cancelTimer(id);
  }

  #instant({ atUs, delayS }: StartSession): number {
    const { clock, delayS: fallback = 5 } = this.#options;
    const nowUs = clock.wallUs();
    const at = Math.round(atUs ?? nowUs + (delayS ?? fallback) * 1e6);
    if (at >= nowUs && at <= nowUs + longestAheadUs) return at;
    const where = at < nowUs ? `${((nowUs - at) / 1e6).toFixed(1)} s in the past` : "more than a day ahead";
    throw new OcelliError(
      "invalid_params",
      `The instant asked for is ${where}. Choose one from now to 24 h ahead, and check the clocks.`,
      {
        details: { at, now: nowUs },
      },
    );
  }

  async #arm(
    session: SyncSession,
    member: SessionMember,
    signal: AbortSignal,
  ): Promise<{ readonly member: SessionMember; readonly error?: unknown }> {
    try {
      const change = await this.#driver(member).arm(session, member, signal);
      const armed = { ...member, ...change, armedAtUs: this.#options.clock.wallUs() };
      this.#note(session.id, armed);
      return { member: armed };
    } catch (error) {
      const failed = { ...member, state: "failed" as const, error: messageOf(error) };
      this.#note(session.id, failed);
      return { member: failed, error };
    }
  }

  /** At once, so that what its recording does from now on finds it. Told when all have been armed. */
  #note(id: string, changed: SessionMember): void {
    const session = this.#open.get(id);
    if (session === undefined) return;
    const members = session.members.map((member) => (member.key === changed.key ? changed : member));
    this.#open.set(id, { ...session, members });
  }

  async #callOff(session: SyncSession): Promise<void> {
    const { store } = this.#options;
    // Its recordings end without a file; that is no news of the session any more.
    this.#open.delete(session.id);
    store.removeSession(session.id);
    await Promise.all(
      session.members.map((member) =>
        member.state === "failed" ? undefined : this.#driver(member).cancel(session, member),
      ),
    );
  }

  #driver(member: SessionMember): MemberDriver {
    return this.#options.drivers[member.member.kind];
  }

  /** What a recording of the hub does is what its member does. */
  #follow(recording: RecordingView, change: MemberChange): void {
    for (const session of this.#open.values()) {
      const member = session.members.find(({ recordingId }) => recordingId === recording.id);
      if (member !== undefined) this.#change(session.id, member.key, change);
    }
  }

  /** A recording in segments has a further file now and then. */
  #followFiles(recording: RecordingView): void {
    for (const { members } of this.#open.values()) {
      const member = members.find(({ recordingId }) => recordingId === recording.id);
      if (member !== undefined && member.files.length !== recording.segments.length) {
        this.#follow(recording, recordingNow(recording));
      }
    }
  }

  #change(id: string, key: string, change: MemberChange): void {
    const session = this.#open.get(id);
    if (session === undefined) return;
    const members = session.members.map((member) => (member.key === key ? { ...member, ...change } : member));
    const recording = session.state === "armed" && members.some(({ state }) => state === "recording");
    this.#put(
      concluded(
        { ...session, members, state: recording ? "recording" : session.state },
        this.#options.clock.wallUs(),
      ),
    );
  }

  #put(session: SyncSession): void {
    const { store, bus, log } = this.#options;
    if (isOpen(session)) this.#open.set(session.id, session);
    else {
      this.#open.delete(session.id);
      this.#cancelTimer(session.id);
    }
    try {
      store.putSession(session);
    } catch (error) {
      // The recordings matter more than the note of them.
      log.error({ err: error, session: session.id }, "a sync session could not be written down");
    }
    bus.emit("sync.session", { session });
  }

  /** Cameras are left to end by themselves: with their last frame, not a moment before it. */
  async #endDevices(id: string): Promise<void> {
    const session = this.session(id);
    const devices = session.members.filter(({ member }) => member.kind !== "camera");
    await Promise.all(devices.map((member) => this.#stop(session, member)));
  }

  /** Once for a member, whoever asks: a device that has been stopped refuses to be stopped. */
  #stop(session: SyncSession, member: SessionMember): Promise<void> {
    if (member.state === "completed" || member.state === "failed") return Promise.resolve();
    const key = `${session.id} ${member.key}`;
    const stopping =
      this.#stopping.get(key) ??
      this.#driver(member)
        .stop(session, member)
        .then((change) => this.#change(session.id, member.key, change))
        .finally(() => this.#stopping.delete(key));
    this.#stopping.set(key, stopping);
    return stopping;
  }

  /** Cameras end by themselves after the duration; devices elsewhere have to be told. */
  #scheduleEnd(session: SyncSession): void {
    if (session.durationS === undefined || session.members.every(({ member }) => member.kind === "camera"))
      return;
    const { clock, log } = this.#options;
    const overUs = session.startAtUs + session.durationS * 1e6;
    const cancel = clock.after(Math.max(0, (overUs - clock.wallUs()) / 1000), () => {
      this.#endDevices(session.id).catch((error: unknown) =>
        log.error({ err: error, session: session.id }, "the devices of a sync session could not be ended"),
      );
    });
    this.#timers.set(session.id, cancel);
  }

  #cancelTimer(id: string): void {
    this.#timers.get(id)?.();
    this.#timers.delete(id);
  }
}

function recordingNow({ segments }: RecordingView): MemberChange {
  return { state: "recording", files: [...segments] };
}

function newMember(member: SyncMember, cameras: Cameras): SessionMember {
  if (member.kind === "camera") {
    const { name } = cameras.find(member.cameraId).view();
    return { key: member.cameraId, name, member, state: "pending", files: [] };
  }
  const key = `${member.host}:${member.port}`;
  return { key, name: member.name ?? key, member, state: "pending", files: [] };
}

function refuseUnlessDistinct(members: readonly SyncMember[]): void {
  const keys = members.map((one) => (one.kind === "camera" ? one.cameraId : `${one.host}:${one.port}`));
  const twice = keys.find((key, i) => keys.indexOf(key) !== i);
  if (members.length === 0 || members.length > maxMembers) {
    throw new OcelliError(
      "invalid_params",
      `A sync group has 1 to ${maxMembers} members, not ${members.length}.`,
    );
  }
  if (twice !== undefined) throw new OcelliError("invalid_params", `${twice} is in the group twice.`);
}

/** Over as soon as every member is. */
function concluded(session: SyncSession, nowUs: number): SyncSession {
  const over = session.members.every(({ state }) => state === "completed" || state === "failed");
  if (!over) return session;
  const all = session.members.every(({ state }) => state === "completed");
  return { ...session, state: all ? "completed" : "failed", endedAtUs: session.endedAtUs ?? nowUs };
}

function settleAll(session: SyncSession): SyncSession {
  return {
    ...session,
    members: session.members.map((member) =>
      member.state === "completed" || member.state === "failed"
        ? member
        : { ...member, state: "failed", error: member.error ?? "It was not heard of any more." },
    ),
  };
}

function memberError(
  failed: readonly { readonly member: SessionMember; readonly error?: unknown }[],
  session: SyncSession,
): OcelliError {
  const [first] = failed;
  const names = failed.map(({ member }) => `${member.key}: ${member.error ?? "failed"}`).join("; ");
  const code = first?.error instanceof OcelliError ? first.error.code : "device_failed";
  return new OcelliError(code, `${session.name} cannot start together. ${names}`, {
    details: { members: failed.map(({ member }) => ({ member: member.key, reason: member.error ?? "" })) },
    cause: first?.error,
  });
}
