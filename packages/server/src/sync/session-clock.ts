/**
 * What a change of the hub's time means for a session. T0 is an instant of true time as well as the hub knows it, the same
 * for cameras here and devices elsewhere. `startAtUs`, which is that instant by the hub's clock, is reckoned anew when this
 * clock, or what is known of its error, changes before T0. Pure.
 *
 * Devices have been told true time and go by clocks of their own: for them nothing changes, and nothing is sent.
 */
import { type ClockState, stampOf } from "../clock/sync/state.ts";
import type { ClockChange, SessionMember, SyncSession } from "./contract.ts";

/** Changes up to this are left alone: servers that are asked again never answer quite the same. */
const followBeyondUs = 1000;
/** Of one session; a clock that is changed more often is no clock. */
const maxChanges = 20;

export interface HubTime {
  /** Epoch microseconds by the hub's clock as it is now. */
  readonly nowUs: number;
  /** How far that clock has been set ahead since it was looked at last. */
  readonly stepUs: number;
  readonly state: ClockState;
}

/** T0 in true time, epoch microseconds: stays what it is, whatever the hub's clock does before it. */
export function trueStartUs({ startAtUs, clock }: Pick<SyncSession, "startAtUs" | "clock">): number {
  return startAtUs + clock.offsetUs;
}

/** The session after a change of the hub's time; `undefined` when that means nothing to it. */
export function follow(session: SyncSession, { nowUs, stepUs, state }: HubTime): SyncSession | undefined {
  const untilStartBeforeUs = session.startAtUs - (nowUs - stepUs);
  if (untilStartBeforeUs <= 0 || hasBegun(session)) {
    if (Math.abs(stepUs) <= followBeyondUs) return undefined;
    // Its files hold the times of the clock as it was.
    const untilStartUs = Math.min(0, untilStartBeforeUs);
    return changed(session, { atUs: nowUs, stepUs, correctionUs: 0, untilStartUs });
  }
  // Somebody who is not sure any more still knows best what he knew last.
  const knows = state.synchronised || !session.clock.synchronised;
  const clock = knows ? stampOf(state) : session.clock;
  const startAtUs = trueStartUs(session) - clock.offsetUs;
  const movedUs = startAtUs - session.startAtUs;
  const correctionUs = stepUs - movedUs;
  if ([stepUs, movedUs, correctionUs].every((us) => Math.abs(us) <= followBeyondUs)) return undefined;
  const members = session.members.map((member) => onClock(member, movedUs, stepUs));
  return changed(
    { ...session, startAtUs, clock, members },
    { atUs: nowUs, stepUs, correctionUs, untilStartUs: startAtUs - nowUs },
  );
}

/** Ready so long before T0 as it was, and with a clock that stood still while the hub's was set. */
function onClock(member: SessionMember, movedUs: number, stepUs: number): SessionMember {
  const { armedAtUs, declared } = member;
  const clockOffset = declared?.clockOffset;
  return {
    ...member,
    ...(armedAtUs === undefined ? {} : { armedAtUs: armedAtUs + movedUs }),
    ...(clockOffset === undefined
      ? {}
      : { declared: { ...declared, clockOffset: clockOffset - stepUs / 1e6 } }),
  };
}

/** Also where a clock that was set back says that T0 is still to come. */
function hasBegun({ state, clockChanges = [] }: SyncSession): boolean {
  return state === "recording" || clockChanges.some(({ untilStartUs }) => untilStartUs <= 0);
}

function changed(session: SyncSession, change: ClockChange): SyncSession {
  return { ...session, clockChanges: [...(session.clockChanges ?? []), change].slice(-maxChanges) };
}

/** Whether T0 was still to come when it happened. */
export function whileWaiting({ untilStartUs, correctionUs }: ClockChange): boolean {
  return untilStartUs + correctionUs > 0;
}

/** What the report says of such changes. */
export function clockFindings({ clockChanges = [], members }: SyncSession): string[] {
  const hasDevices = members.some(({ member }) => member.kind === "multicam");
  return clockChanges.map((change) => {
    const { stepUs, correctionUs, untilStartUs } = change;
    const at = new Date(change.atUs / 1000).toISOString();
    const step = `the hub's clock was set ${span(stepUs)} ${stepUs < 0 ? "back" : "ahead"}`;
    if (!whileWaiting(change)) {
      return `${step} at ${at}, during the recording: from then on the times in the files are of the clock as it is now`;
    }
    if (Math.abs(correctionUs) <= followBeyondUs) {
      return `${step} at ${at} while the session waited, as it had been known to be wrong: T0 stayed the moment it was`;
    }
    const [off, came] = correctionUs < 0 ? ["ahead of", "later"] : ["behind", "sooner"];
    return [
      `the hub learned at ${at}, while the session waited, that its time was ${span(correctionUs)} ${off} the true one`,
      untilStartUs < 0
        ? `T0 was ${span(untilStartUs)} past by then, and cameras began at once`
        : `cameras followed, so that T0 came that much ${came}`,
      ...(hasDevices ? ["devices had been told T0 in true time, and go by clocks of their own"] : []),
    ].join("; ");
  });
}

function span(us: number): string {
  const most = Math.abs(us);
  return most < 1e6 ? `${(most / 1000).toFixed(1)} ms` : `${(most / 1e6).toFixed(3)} s`;
}
