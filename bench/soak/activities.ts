/** What goes on in a soak: each activity is one short story with a hub, told again and again. */
import { setTimeout as sleep } from "node:timers/promises";
import type { Rpc } from "../../test/harness/rpc.ts";
import { keepWarm } from "../lib/viewers.ts";
import { viewerHeaders } from "../load/loaded-hub.ts";
import { RawClient, textFrame } from "../load/raw-client.ts";
import { control, drop } from "./multicam.ts";
import { recordTogether } from "./sessions.ts";
import { roles, type Stage } from "./stage.ts";

export interface Activity {
  readonly name: string;
  /** How many tell it at the same time. */
  readonly atOnce: number;
  /** @param turn which of those who tell it at the same time */
  readonly once: (stage: Stage, admin: Rpc, turn: number) => Promise<void>;
}

const calls = [
  "ping",
  "get_camera_list",
  "get_camera_status",
  "list_recordings",
  "get_status",
  "get_metrics",
  "get_streams",
  "no_such_method",
  "get_subscription_stats",
];

let nextName = 1;

/** Comes, perhaps subscribes, asks a few things, and goes, with or without a word. */
async function visit({ hub }: Stage): Promise<void> {
  const headers = Math.random() < 0.8 ? viewerHeaders : {};
  const client = new RawClient({ host: "127.0.0.1", port: hub.port, path: "/ws", headers }, undefined);
  await client.opened;
  const ask = (id: number, method: string, params: object): void =>
    client.send(textFrame(JSON.stringify({ jsonrpc: "2.0", id, method, params })));
  if (Math.random() < 0.5) ask(1, "subscribe_events", { topics: ["camera.connected", "recording.start"] });
  if (Math.random() < 0.2) ask(2, "subscribe_events", { topics: ["recording.stop"], since: 0 });
  for (let count = 0; count < 20; count++) {
    const method = calls[Math.floor(Math.random() * calls.length)] ?? "ping";
    ask(10 + count, method, { device: roles.watched, limit: 5 });
    await sleep(Math.random() * 60);
  }
  if (Math.random() < 0.1) client.send(textFrame("{ not JSON"));
  if (Math.random() < 0.7) await client.close();
  else await client.destroy();
}

async function snapshot(_stage: Stage, admin: Rpc): Promise<void> {
  const { filename } = await admin.call<{ filename: string }>("take_snapshot", { device: roles.watched });
  await admin.call("delete_snapshot", { filename });
  await sleep(500);
}

async function record(_stage: Stage, admin: Rpc): Promise<void> {
  const started = await admin.call<{ filename: string }>("start_recording", {
    device: roles.recorded,
    filename: `soak-${nextName++}`,
  });
  await sleep(1000 + Math.random() * 1000);
  await admin.call("stop_recording", { device: roles.recorded });
  await admin.call("delete_recording", { filename: started.filename });
}

async function watch({ hub }: Stage): Promise<void> {
  const viewer = await keepWarm(Math.random() < 0.5 ? "mse" : "mjpeg", hub, roles.watched);
  await sleep(500 + Math.random() * 1500);
  await viewer.close();
}

/** Kept small: what leaks does so by the number of times, and the machine is to have time for many. */
export const activities: readonly Activity[] = [
  { name: "visits", atOnce: 30, once: visit },
  { name: "snapshots", atOnce: 1, once: snapshot },
  { name: "recordings", atOnce: 1, once: record },
  { name: "views", atOnce: 2, once: watch },
  { name: "MultiCam callers", atOnce: 6, once: drop },
  { name: "MultiCam recordings", atOnce: 1, once: control },
  { name: "sync sessions", atOnce: roles.together.length, once: recordTogether },
];
