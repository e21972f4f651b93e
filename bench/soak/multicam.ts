/** MultiCam controllers that come and go: good ones that record and fetch, and those that do as they please. */
import { rmSync, statSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { MultiCamController } from "@ocelli/client/node";
import { until } from "../../test/harness/hub.ts";
import type { Rpc } from "../../test/harness/rpc.ts";
import type { Stage } from "./stage.ts";

/** A connection that counts what comes, and keeps none of it. */
class Caller {
  bytes = 0;
  isOver = false;
  readonly socket: Socket;

  constructor({ hub }: Stage) {
    this.socket = connect({ port: hub.port, host: "127.0.0.1", allowHalfOpen: true });
    this.socket
      .on("error", () => undefined)
      .on("data", ({ length }) => (this.bytes += length))
      .on("end", () => (this.isOver = true))
      .on("close", () => (this.isOver = true));
  }

  say(command: string, more: object = {}, times = 1): void {
    const timestamp = Date.now() / 1000;
    const text = JSON.stringify({ command, timestamp, deviceId: "controller", ...more });
    this.socket.write(text.repeat(times));
  }

  heard(bytes: number): Promise<unknown> {
    return until(`${bytes} bytes`, () => this.bytes >= bytes, 60_000);
  }

  ended(): Promise<unknown> {
    return until("the end of a connection", () => this.isOver, 60_000);
  }
}

const whims: readonly ((caller: Caller, stage: Stage) => Promise<unknown>)[] = [
  async function asksAndGoes(caller) {
    for (const command of ["DEVICE_STATUS", "LIST_FILES", "HEARTBEAT", "UPLOAD_STATUS"]) {
      const before = caller.bytes;
      caller.say(command);
      await caller.heard(before + 1);
    }
  },
  async function saysNothing() {
    await sleep(Math.random() * 500);
  },
  async function goesInTheMiddleOfACommand(caller) {
    caller.socket.write('{"command":"DEVICE_ST');
    await sleep(Math.random() * 200);
  },
  async function meansNothing(caller) {
    caller.socket.write(Buffer.alloc(64, 0xfe));
    await caller.ended();
  },
  async function hasSaidAll(caller) {
    caller.say("DEVICE_STATUS");
    caller.socket.end();
    await caller.ended();
  },
  async function asksOnAndOnAndDoesNotRead(caller) {
    caller.socket.pause();
    caller.say("LIST_FILES", {}, 200);
    await sleep(Math.random() * 500);
  },
  async function fetchesWhatIsNotThere(caller) {
    caller.say("GET_VIDEO", { fileName: "none.mp4" });
    await caller.ended();
  },
  async function fetchesAll(caller, { kept }) {
    caller.say("GET_VIDEO", { fileName: kept.fileName });
    await caller.heard(kept.bytes);
  },
  async function breaksOff(caller, { kept }) {
    caller.say("GET_VIDEO", { fileName: kept.fileName });
    await caller.heard(Math.random() * kept.bytes);
    caller.socket.resetAndDestroy();
  },
  async function neverReads(caller, { kept }) {
    caller.socket.pause();
    caller.say("GET_VIDEO", { fileName: kept.fileName });
    await sleep(500 + Math.random() * 1000);
  },
];

/** One who does as he pleases, and goes. */
export async function drop(stage: Stage): Promise<void> {
  const caller = new Caller(stage);
  try {
    await whims[Math.floor(Math.random() * whims.length)]?.(caller, stage);
  } finally {
    caller.socket.destroy();
  }
}

/** Records at an instant, fetches the file, has it uploaded; now and then thinks better of it before the instant. */
export async function control(stage: Stage, admin: Rpc): Promise<void> {
  const { hub, storage, folder } = stage;
  const controller = new MultiCamController();
  try {
    const { id } = controller.add({ host: "127.0.0.1", port: hub.port });
    const isCancelled = Math.random() < 0.2;
    const ahead = isCancelled ? 30 : Math.random() < 0.5 ? 0.7 : 0;
    const [started] = (await controller.startRecording({ at: Date.now() / 1000 + ahead })).results;
    if (started?.ok !== true) throw started?.error ?? new Error("nothing started");
    await sleep(ahead > 1 ? 200 : ahead * 1000 + 800);
    const [stopped] = await controller.stopRecording();
    if (isCancelled) {
      if (stopped?.ok !== false) throw new Error("a cancelled start gave a file");
      return;
    }
    if (stopped?.ok !== true) throw stopped?.error ?? new Error("nothing stopped");
    const { fileName = "" } = stopped.value;
    const listed = await controller.listFiles(id);
    if (!listed.some((file) => file.fileName === fileName)) throw new Error(`${fileName} is not listed`);
    const { path } = await controller.download(id, { fileName }, { folder });
    const bytes = [path, hub.file("recordings", fileName)].map((one) => statSync(one).size);
    if (bytes[0] !== bytes[1]) throw new Error(`${fileName}: ${bytes.join(" bytes of ")}`);
    rmSync(path);
    await controller.uploadToCloud(id, { fileName }, { uploadUrl: storage.url(fileName) });
    await until("the upload", async () => {
      const { running, failed } = await controller.uploads(id);
      if (failed.length > 0) throw new Error(`${failed[0]?.fileName}: ${failed[0]?.error}`);
      return running.length === 0;
    });
    await admin.call("delete_recording", { filename: fileName });
  } finally {
    await controller.close();
  }
}
