/** Events in one line each, for people. What an event of an unknown kind tells is shown as it is. */
import type { Style } from "./style.ts";
import { bytesText, durationText, harmless, timeText } from "./words.ts";

export interface EventShown {
  readonly seq?: unknown;
  readonly topic: string;
  readonly timestamp?: unknown;
  readonly data: Readonly<Record<string, unknown>>;
}

export function eventText({ seq, topic, timestamp, data }: EventShown, style: Style): string {
  const time = typeof timestamp === "string" ? timeText(timestamp) : "";
  const number = typeof seq === "number" ? `#${seq}` : "";
  const device = typeof data.device === "string" ? `${data.device}  ` : "";
  const bad = /error|failed|missed|gap/.test(topic) || data.new_status === "ERROR";
  const name = topic.padEnd(20);
  return (
    `${style.dim(`${time}  ${number.padEnd(8)}`)}${bad ? style.bad(name) : name}  ${harmless(device + describe(topic, data))}`.trimEnd() +
    "\n"
  );
}

type Data = EventShown["data"];

const describers: Readonly<Record<string, (data: Data) => string>> = {
  "camera.added": ({ name }) => text(name),
  "camera.status_change": ({ old_status, new_status, error_message, event }) =>
    old_status === new_status
      ? joined([text(event).replaceAll("_", " "), text(error_message)], ": ")
      : joined([`${text(old_status)} -> ${text(new_status)}`, text(error_message)], ": "),
  "camera.connected": ({ name }) => text(name),
  "camera.disconnected": ({ name }) => text(name),
  "camera.capability_error": ({ error }) => text(error),
  "capture.state": ({ old_state, new_state, reason }) =>
    joined([`${text(old_state)} -> ${text(new_state)}`, text(reason)], ": "),
  "capture.gap": ({ duration, reason }) => `${seconds(duration)} missing: ${text(reason)}`,
  "recording.start": ({ filename }) => text(filename),
  "recording.stop": ({ filename, duration, reason }) =>
    joined([text(filename), seconds(duration), text(reason)], "  "),
  "recording.error": ({ filename, error, reason }) =>
    joined([text(filename), text(error) || text(reason)], ": "),
  "recording.progress": ({ filename, duration, file_size }) =>
    joined([text(filename), seconds(duration), bytes(file_size)], "  "),
  "recording.recovered": ({ filename, frames }) => `${text(filename)}  ${text(frames)} frames saved`,
  "schedule.changed": ({ status, scheduled_for, reason }) =>
    joined([text(status), `for ${when(scheduled_for)}`, text(reason)], " "),
  "schedule.missed": ({ scheduled_for, reason }) => joined([`of ${when(scheduled_for)}`, text(reason)], ": "),
  "snapshot.taken": ({ filename, resolution, file_size }) =>
    joined([text(filename), text(resolution), bytes(file_size)], "  "),
  "snapshot.error": ({ error }) => text(error),
  "export.progress": ({ filename, progress, status }) =>
    joined(
      [text(filename), typeof progress === "number" ? `${Math.floor(progress * 100)} %` : "", text(status)],
      "  ",
    ),
  "storage.level": ({ level, available_space }) => `${text(level)}, ${bytes(available_space)} free`,
  "retention.deleted": ({ recordings_removed, snapshots_removed, space_freed }) =>
    `${text(recordings_removed)} recordings, ${text(snapshots_removed)} snapshots, ${bytes(space_freed)} freed`,
  "sync.session": ({ name, status, start_at }) => `${text(name)}  ${text(status)}, from ${when(start_at)}`,
  "clock.step": ({ step_seconds }) => `by ${text(step_seconds)} s`,
  "system.startup": ({ version }) => `Ocelli ${text(version)}`,
  "system.shutdown": ({ reason }) => text(reason),
  "system.health": ({ status, problems }) =>
    joined([text(status).toLowerCase(), ...(Array.isArray(problems) ? problems.map(messageIn) : [])], "; "),
};

function describe(topic: string, data: Data): string {
  const words = describers[topic]?.(data);
  if (words !== undefined) return words;
  const shown = Object.entries(data).filter(
    ([key, value]) =>
      !/^(device|device_path|camera_id)$/.test(key) && value !== null && typeof value !== "object",
  );
  return shown.map(([key, value]) => `${key}=${String(value)}`).join(" ");
}

function text(value: unknown): string {
  return typeof value === "string" || typeof value === "number" ? String(value) : "";
}

function seconds(value: unknown): string {
  return typeof value === "number" ? durationText(value) : "";
}

function bytes(value: unknown): string {
  return typeof value === "number" ? bytesText(value) : "";
}

function when(value: unknown): string {
  return typeof value === "string" ? timeText(value) : "";
}

function messageIn(problem: unknown): string {
  return typeof problem === "object" && problem !== null && "message" in problem ? text(problem.message) : "";
}

function joined(parts: readonly string[], by: string): string {
  return parts.filter((part) => part !== "").join(by);
}
