/** What a soak runs on: a hub that can do everything, and who it deals with. */
import { appendFileSync, mkdirSync, mkdtempSync, readdirSync, rmSync, truncateSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { type RunningHub, startHub, until } from "../../test/harness/hub.ts";
import { makePhoneVideo, PythonStorage, PythonTimeServer } from "../../test/harness/multicam.ts";
import type { Rpc } from "../../test/harness/rpc.ts";
import { loadedHubEnv } from "../load/loaded-hub.ts";
import { probeArgs } from "../load/probed.ts";

/** Which activity has which cameras: a camera is recorded once at a time. */
export const roles = {
  watched: "camera100",
  recorded: "camera101",
  multicam: "camera102",
  together: [
    ["camera103", "camera104"],
    ["camera105", "camera106"],
  ],
} as const;
const cameras = 7;

/** Larger than what the kernel takes for a reader who does not read. */
const keptBytes = 24 * 2 ** 20;

export class Stage implements AsyncDisposable {
  readonly hub: RunningHub;
  /** Fails every other upload half-way. */
  readonly storage: PythonStorage;
  /** A recording of the MultiCam camera that stays. */
  readonly kept: { readonly fileName: string; readonly bytes: number };
  /** What simulated phones hand out. */
  readonly phoneVideo: string;
  /** For what clients fetch. */
  readonly folder: string;
  /** The hub's own. */
  readonly hubTemporary: string;
  readonly #ends: AsyncDisposableStack;

  private constructor(
    { hub, storage, kept, phoneVideo, folder, hubTemporary }: Omit<Stage, typeof Symbol.asyncDispose>,
    ends: AsyncDisposableStack,
  ) {
    this.hub = hub;
    this.storage = storage;
    this.kept = kept;
    this.phoneVideo = phoneVideo;
    this.folder = folder;
    this.hubTemporary = hubTemporary;
    this.#ends = ends;
  }

  static async open(): Promise<Stage> {
    await using ends = new AsyncDisposableStack();
    const folder = mkdtempSync(join(tmpdir(), "ocelli-soak-"));
    ends.defer(() => rmSync(folder, { recursive: true, force: true }));
    const phoneVideo = join(folder, "phone.mp4");
    makePhoneVideo(phoneVideo);
    const hubTemporary = join(folder, "tmp");
    mkdirSync(hubTemporary);
    const storage = ends.use(await PythonStorage.start("--break-every", "2"));
    const time = ends.use(await PythonTimeServer.start());
    const hub = ends.use(
      await startHub({
        env: {
          ...loadedHubEnv,
          OCELLI_VIRTUAL_COUNT: String(cameras),
          OCELLI_VIRTUAL_SIZE: "320x240",
          OCELLI_VIRTUAL_FPS: "15",
          OCELLI_VIRTUAL_CODEC: "mjpeg",
          OCELLI_CAPTURE_LINGER_SECONDS: "1",
          OCELLI_CLOCK_NTP_SERVERS: time.address,
          OCELLI_MULTICAM_ENABLED: "true",
          OCELLI_MULTICAM_CAMERA: roles.multicam,
          OCELLI_MULTICAM_UPLOAD_HOSTS: "127.0.0.1",
          TMPDIR: hubTemporary,
        },
        nodeArgs: probeArgs,
      }),
    );
    await using admin = await hub.rpc();
    await until("the time, and the cameras", async () => {
      const clock = await admin.call<{ synchronised: boolean }>("get_clock_status");
      const list = await admin.call<{ connected: number }>("get_camera_list");
      return clock.synchronised && list.connected === cameras;
    });
    const kept = { fileName: await makeKept(hub, admin), bytes: keptBytes };
    return new Stage({ hub, storage, kept, phoneVideo, folder, hubTemporary }, ends.move());
  }

  /** Ends all of it; what the hub leaves behind is still there until then. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#ends.disposeAsync();
  }
}

/** A recording made large by a box that holds nothing. */
async function makeKept(hub: RunningHub, admin: Rpc): Promise<string> {
  const { filename } = await admin.call<{ filename: string }>("start_recording", { device: roles.multicam });
  await sleep(1000);
  await admin.call("stop_recording", { device: roles.multicam });
  const name = readdirSync(hub.file("recordings", "")).find(
    (one) => one.startsWith(filename) && one.endsWith(".mp4"),
  );
  if (name === undefined) throw new Error(`${filename} is not there`);
  const path = hub.file("recordings", name);
  appendFileSync(path, Buffer.from([0, 0, 0, 0, ...Buffer.from("free")]));
  truncateSync(path, keptBytes);
  return name;
}
