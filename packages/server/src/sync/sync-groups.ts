/**
 * Records several cameras and devices from one instant: begins sessions, follows what becomes of their members, ends them.
 * What there is of sessions is in the `session-book.ts`; how a member is driven is its driver's business, what a state means
 * `session-state.ts`'s, what the files show `report.ts`'s.
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
import type { SessionMember, SyncGroup, SyncMember, SyncSession } from "./contract.ts";
import { GroupList, type GroupListOptions, type NewGroup } from "./group-list.ts";
import { outcomeOf } from "./members/camera-member.ts";
import type { MemberChange, MemberDriver } from "./members/members.ts";
import type { SessionBook } from "./session-book.ts";
import { follow, whileWaiting } from "./session-clock.ts";
import {
  type ArmedMember,
  cannotStart,
  isSettled,
  judged,
  newMember,
  recordingNow,
  settleAll,
  withMember,
} from "./session-state.ts";
import { instantOf, type StartSession } from "./start-session.ts";
import { isOpen, type SessionPage, type SyncStore } from "./store.ts";

export interface SyncGroupsOptions {
  readonly store: Pick<SyncStore, "groups" | "putGroup" | "removeGroup">;
  readonly book: SessionBook;
  readonly cameras: Cameras;
  readonly drivers: Readonly<Record<SyncMember["kind"], MemberDriver>>;
  /** Where devices may be. */
  readonly deviceNetworks: GroupListOptions["deviceNetworks"];
  readonly clock: Clock;
  /** Made before: it knows of a step of the clock when this hears of it. */
  readonly clockSync: Pick<ClockSync, "state" | "onChange">;
  readonly bus: EventBus;
  readonly log: Log;
  /** How far ahead the common instant lies unless the caller says; cameras need it to warm up. Default 5. */
  readonly delayS?: number;
}

export class SyncGroups {
  readonly #options: SyncGroupsOptions;
  readonly #groups: GroupList;
  readonly #book: SessionBook;
  readonly #timers = new Map<string, () => void>();
  /** Members being stopped. */
  readonly #stopping = new Map<string, Promise<void>>();
  /** Sessions whose members are being armed: the end of that, and how to give it up. */
  readonly #arming = new Map<string, { readonly giveUp: AbortController; readonly done: Promise<void> }>();
  readonly #closing = new AbortController();
  readonly #stops: (() => void)[];
  /** Wall less monotonic time, when it was looked at last. */
  #wallOffsetUs: number;

  constructor(options: SyncGroupsOptions) {
    this.#options = options;
    this.#groups = new GroupList(options);
    this.#book = options.book;
    const { bus, clock, clockSync } = options;
    this.#wallOffsetUs = clock.monoToWallUs(0);
    this.#stops = [
      bus.on("recording.started", ({ recording }) => this.#follow(recording, recordingNow(recording))),
      bus.on("recording.progress", ({ recording }) => this.#followFiles(recording)),
      bus.on("recording.stopped", ({ recording }) => this.#follow(recording, outcomeOf(recording))),
      bus.on("recording.failed", ({ recording, error }) =>
        this.#follow(recording, outcomeOf(recording, error.message)),
      ),
      clockSync.onChange(() => this.#followClock()),
      clock.onStep(() => this.#followClock()),
    ];
  }

  /** Takes up sessions that were open when the hub went down. Call once recordings have been recovered. */
  start(): void {
    for (const session of this.#book.open()) {
      const wasBeingArmed = this.#wasBeingArmed(session);
      for (const member of session.members) {
        if (isSettled(member)) continue;
        const change = this.#driver(member).resume(session, member);
        if (change.state !== undefined) this.#change(session.id, member.key, change);
      }
      if (wasBeingArmed) {
        this.#options.log.warn(
          { session: session.id },
          "a sync session was not ready when the hub went down: it is called off",
        );
        void this.#callOff(this.session(session.id));
        continue;
      }
      const open = this.#book.openOne(session.id);
      if (open === undefined) continue;
      this.#scheduleEnd(open);
      // Those that had ended their recording, whose files were on their way.
      const ended = open.members.filter(({ declared }) => declared?.fileName !== undefined);
      for (const member of ended) void this.#stop(open, member);
    }
  }

  /** Nobody has been told that it stands, and nobody has begun: all or none. */
  #wasBeingArmed({ members, startAtUs }: SyncSession): boolean {
    return members.some(({ state }) => state === "pending") && startAtUs > this.#options.clock.wallUs();
  }

  groups(): readonly SyncGroup[] {
    return this.#groups.all();
  }

  /** By id or name. @throws OcelliError `not_found` */
  group(key: string): SyncGroup {
    return this.#groups.find(key);
  }

  /** A group of this name is replaced. @throws OcelliError `invalid_params`, `camera_not_found`, `permission_denied` */
  create(group: NewGroup): SyncGroup {
    return this.#groups.create(group);
  }

  /** Its sessions and files stay. @throws OcelliError `not_found`, `file_in_use` while it records */
  remove(key: string): SyncGroup {
    const group = this.group(key);
    const running = this.#book.openOf(group);
    if (running !== undefined) {
      throw new OcelliError("file_in_use", `${group.name} is recording. Stop session ${running.id} first.`, {
        details: { session: running.id },
      });
    }
    this.#options.store.removeGroup(group.id);
    return group;
  }

  /** Newest first, running ones included. */
  sessions(page: SessionPage): { readonly sessions: readonly SyncSession[]; readonly total: number } {
    return this.#book.page(page);
  }

  /** Those that wait or record. */
  running(): readonly SyncSession[] {
    return this.#book.open();
  }

  /** @throws OcelliError `not_found` */
  session(id: string): SyncSession {
    return this.#book.session(id);
  }

  /** The one running session of a group. @throws OcelliError `not_found`, `not_recording` */
  runningOf(groupKey: string): SyncSession {
    const group = this.group(groupKey);
    const session = this.#book.openOf(group);
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
    const { clock, clockSync } = this.#options;
    const group = this.group(request.group);
    const running = this.#book.openOf(group);
    if (running !== undefined) {
      throw new OcelliError(
        "already_recording",
        `${group.name} is recording already (session ${running.id}).`,
        {
          details: { session: running.id },
        },
      );
    }
    const startAtUs = instantOf(request, clock.wallUs(), this.#options.delayS);
    const session: SyncSession = {
      id: randomUUID(),
      groupId: group.id,
      groupName: group.name,
      name: request.name ?? group.name,
      startAtUs,
      state: "armed",
      createdAtUs: clock.wallUs(),
      clock: stampOf(clockSync.state),
      members: group.members.map((member) => newMember(member, (id) => this.#cameraName(id))),
      ...(request.durationS === undefined ? {} : { durationS: request.durationS }),
      ...(group.toleranceMs === undefined ? {} : { toleranceMs: group.toleranceMs }),
    };
    this.#book.add(session);
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
      throw cannotStart(failed, now);
    }
    this.#put(judged(now, clock.wallUs()));
    if (isOpen(this.session(now.id))) this.#scheduleEnd(now);
    return this.session(now.id);
  }

  /**
   * Ends all members; settles when their files are finished and here. A session that is not armed yet is called off,
   * and not kept, unless a member has begun already.
   * @throws OcelliError `not_found`, `not_recording`; `capture_failed` when the hub goes down meanwhile, which takes that up
   *   when it is back
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
    this.#closing.signal.throwIfAborted();
    const ended = this.session(id);
    // A member nobody heard of any more must not keep the session open.
    if (isOpen(ended)) this.#put(judged(settleAll(ended), this.#options.clock.wallUs()));
    return this.session(id);
  }

  /** Ends nothing: recordings that run are finished by their own room, and taken up again at the next start. */
  close(): void {
    this.#closing.abort(new OcelliError("capture_failed", "The hub is shutting down."));
    for (const stop of this.#stops.splice(0)) stop();
    for (const id of [...this.#timers.keys()]) this.#cancelTimer(id);
  }

  async #arm(session: SyncSession, member: SessionMember, signal: AbortSignal): Promise<ArmedMember> {
    const driver = this.#driver(member);
    try {
      this.#groups.assertMayReach(member.member);
      this.#assertFree(session, member);
      const change = await driver.arm(session, member, signal);
      const armed = { ...member, ...change, armedAtUs: this.#options.clock.wallUs() };
      this.#book.note(session.id, armed);
      // The clock may have been set meanwhile.
      const now = this.#book.openOne(session.id);
      if (now !== undefined && now.startAtUs !== session.startAtUs) driver.rearm(now, armed);
      return { member: armed };
    } catch (error) {
      const failed = { ...member, state: "failed" as const, error: messageOf(error) };
      this.#book.note(session.id, failed);
      return { member: failed, error };
    }
  }

  /** Not every device refuses, or even tells, a second start: it would record at the instant of the first. */
  #assertFree({ id }: SyncSession, { key, name }: SessionMember): void {
    const other = this.#book
      .open()
      .find((one) => one.id !== id && one.members.some((member) => member.key === key && !isSettled(member)));
    if (other === undefined) return;
    throw new OcelliError(
      "already_recording",
      `${name} takes part in ${other.name} already. Stop session ${other.id} first.`,
      { details: { session: other.id } },
    );
  }

  async #callOff(session: SyncSession): Promise<void> {
    // Its recordings end without a file; that is no news of the session any more.
    this.#book.drop(session);
    await Promise.all(
      session.members.map((member) =>
        member.state === "failed" ? undefined : this.#driver(member).cancel(session, member),
      ),
    );
  }

  /** One that is gone fails like any other member that cannot take part. */
  #cameraName(id: string): string {
    try {
      return this.#options.cameras.find(id).view().name;
    } catch {
      return id;
    }
  }

  #driver(member: SessionMember): MemberDriver {
    return this.#options.drivers[member.member.kind];
  }

  /** What a recording of the hub does is what its member does. */
  #follow(recording: RecordingView, change: MemberChange): void {
    for (const session of this.#book.open()) {
      const member = session.members.find(({ recordingId }) => recordingId === recording.id);
      if (member !== undefined) this.#change(session.id, member.key, change);
    }
  }

  /** A recording in segments has a further file now and then. */
  #followFiles(recording: RecordingView): void {
    for (const { members } of this.#book.open()) {
      const member = members.find(({ recordingId }) => recordingId === recording.id);
      if (member !== undefined && member.files.length !== recording.segments.length) {
        this.#follow(recording, recordingNow(recording));
      }
    }
  }

  /** The hub's clock was set, or more is known of how right it is. */
  #followClock(): void {
    const { clock, clockSync, log } = this.#options;
    const wallOffsetUs = clock.monoToWallUs(0);
    const stepUs = wallOffsetUs - this.#wallOffsetUs;
    this.#wallOffsetUs = wallOffsetUs;
    for (const session of this.#book.open()) {
      const now = follow(session, { nowUs: clock.wallUs(), stepUs, state: clockSync.state });
      if (now === undefined) continue;
      if (now.startAtUs !== session.startAtUs) {
        for (const member of now.members) {
          if (!isSettled(member)) this.#driver(member).rearm(now, member);
        }
      }
      const change = now.clockChanges?.at(-1);
      log.warn({ session: now.id, change }, "the hub's time changed in a session");
      this.#put(now);
      if (change === undefined || !whileWaiting(change) || !this.#timers.has(now.id)) continue;
      // With T0 past, cameras begin now.
      this.#scheduleEnd(now, Math.max(now.startAtUs, clock.wallUs()));
    }
  }

  #change(id: string, key: string, change: MemberChange): void {
    const session = this.#book.openOne(id);
    if (session === undefined) return;
    this.#put(judged(withMember(session, key, change), this.#options.clock.wallUs()));
  }

  #put(session: SyncSession): void {
    if (!isOpen(session)) this.#cancelTimer(session.id);
    this.#book.put(session);
  }

  /** Cameras are left to end by themselves: with their last frame, not a moment before it. */
  async #endDevices(id: string): Promise<void> {
    const session = this.session(id);
    const devices = session.members.filter(({ member }) => member.kind !== "camera");
    await Promise.all(devices.map((member) => this.#stop(session, member)));
  }

  /** Once for a member, whoever asks: a device that has been stopped refuses to be stopped. */
  #stop(session: SyncSession, member: SessionMember): Promise<void> {
    if (isSettled(member)) return Promise.resolve();
    const key = `${session.id} ${member.key}`;
    const change = (what: MemberChange): void => {
      // What is given up because the hub goes down is taken up by the next one.
      if (!this.#closing.signal.aborted) this.#change(session.id, member.key, what);
    };
    const stopping =
      this.#stopping.get(key) ??
      this.#driver(member)
        .stop(session, member, change)
        .then(change)
        .finally(() => this.#stopping.delete(key));
    this.#stopping.set(key, stopping);
    return stopping;
  }

  /** Cameras end by themselves after the duration; devices elsewhere have to be told. */
  #scheduleEnd(session: SyncSession, beginsAtUs: number = session.startAtUs): void {
    if (session.durationS === undefined || session.members.every(({ member }) => member.kind === "camera"))
      return;
    const { clock, log } = this.#options;
    this.#cancelTimer(session.id);
    const overUs = beginsAtUs + session.durationS * 1e6;
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
