/**
 * `ocelli cameras --watch`: on a terminal the list, drawn anew with each change and each second while something is
 * recorded; elsewhere a line for each camera that changed, of text or of JSON.
 */
import { stripVTControlCharacters } from "node:util";
import type { CameraObject } from "@ocelli/protocol/camera-service";
import type { Following } from "../context.ts";
import { harmless, pictureText, timeText, widthOf } from "../words.ts";
import { cameraTable } from "./cameras.ts";

/** Changes come in groups; what a terminal shows faster nobody sees. */
const shortestBetweenMs = 100;
/** For what no notification tells, such as the length of a recording. */
const refreshMs = 1000;

const clearScreen = "\u001b[H\u001b[2J\u001b[3J";

export async function watch(following: Following): Promise<void> {
  const { client, io, note } = following;
  const ended = Promise.withResolvers<void>();
  const draws = io.outIsTerminal && !following.json;
  let asked = true;
  let wake = Promise.withResolvers<void>();
  const changed = (): void => {
    asked = true;
    wake.resolve();
  };
  let over = false;
  const end = (): void => {
    over = true;
    wake.resolve();
    ended.resolve();
  };
  client.on("camera_status_update", changed);
  client.on("recording_status_update", changed);
  client.on("connected", changed);
  client.on("connectionLost", () => (draws ? changed() : note("Connection lost; connecting again …")));
  client.on("reconnectFailed", ({ error }) => ended.reject(error));
  io.signal.addEventListener("abort", end);
  if (io.signal.aborted) end();

  await client.connect({ signal: io.signal });
  const shown = new Map<string, string>();
  const work = async (): Promise<void> => {
    while (!over) {
      asked = false;
      wake = Promise.withResolvers<void>();
      const cameras = await current(following);
      if (over) return;
      if (draws) draw(cameras, following);
      else if (cameras !== undefined) tellChanges(cameras, shown, following);
      await pause(shortestBetweenMs, ended.promise);
      const busy = draws && cameras?.some(({ recording }) => recording) === true;
      if (!asked) await (busy ? pause(refreshMs, wake.promise) : wake.promise);
    }
  };
  try {
    await Promise.race([work(), ended.promise]);
  } finally {
    over = true;
    wake.resolve();
    io.signal.removeEventListener("abort", end);
  }
}

/** `undefined` while there is no connection: another attempt is under way. */
async function current({ client }: Following): Promise<readonly CameraObject[] | undefined> {
  if (!client.isConnected) return undefined;
  try {
    return (await client.call("get_camera_list")).cameras;
  } catch (error) {
    if (!client.isConnected) return undefined;
    throw error;
  }
}

function draw(cameras: readonly CameraObject[] | undefined, { io, style, target }: Following): void {
  const head = `${target.baseUrl}  ${style.dim(`${timeText(new Date().toISOString())}, Ctrl-C ends`)}`;
  const body = cameras === undefined ? "Connection lost; connecting again …\n" : cameraTable(cameras, style);
  const lines = `${head}\n\n${body}`.split("\n").map((line) => cut(line, io.columns()));
  io.out(clearScreen + lines.join("\n"));
}

/** A line that is broken into two would push the others down. It loses its colours with its end. */
function cut(line: string, columns: number): string {
  if (widthOf(line) <= columns) return line;
  let kept = "";
  for (const char of stripVTControlCharacters(line)) {
    if (widthOf(kept + char) >= columns) break;
    kept += char;
  }
  return `${kept}…`;
}

function tellChanges(
  cameras: readonly CameraObject[],
  shown: Map<string, string>,
  { printLine, style }: Following,
): void {
  const gone = new Set(shown.keys());
  for (const camera of cameras) {
    gone.delete(camera.device);
    const state = lineOf(camera);
    if (shown.get(camera.device) === state) continue;
    shown.set(camera.device, state);
    const timestamp = new Date().toISOString();
    printLine({ timestamp, camera }, () => `${style.dim(timeText(timestamp))}  ${state}\n`);
  }
  for (const device of gone) {
    shown.delete(device);
    const timestamp = new Date().toISOString();
    printLine(
      { timestamp, removed: device },
      () => `${style.dim(timeText(timestamp))}  ${device}  removed\n`,
    );
  }
}

/** Without what changes all the time. */
function lineOf({
  device,
  status,
  resolution,
  fps,
  name,
  recording,
  current_file,
  error_message,
}: CameraObject): string {
  const picture = pictureText(resolution, fps);
  const file = recording ? `  recording ${current_file ?? ""}` : "";
  const why = error_message === undefined ? "" : `: ${error_message}`;
  return harmless(`${device}  ${status}${picture && `  ${picture}`}  ${name}${file}${why}`);
}

/** Ends early with `unless`, however that ends. */
function pause(ms: number, unless: Promise<unknown>): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      clearTimeout(timer);
      resolve();
    };
    const timer = setTimeout(done, ms);
    unless.then(done, done);
  });
}
