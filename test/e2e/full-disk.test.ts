import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync, statfsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type RunningHub, startHub, until, virtualCameras } from "../harness/hub.ts";
import { SmallDisk, smallDisksMustSkip } from "../harness/small-disk.ts";

// A hub whose disk has no byte left, started and running: it answers, and lets people make room.

let mounted: SmallDisk;
let disk: string;
const hubs: RunningHub[] = [];

async function start(): Promise<RunningHub> {
  const hub = await startHub({
    dataDir: join(disk, "data"),
    env: {
      ...virtualCameras({ size: "320x240", fps: 10 }),
      // Of a disk this small 10 and 4 %.
      OCELLI_STORAGE_LOW_MEGABYTES: undefined,
      OCELLI_STORAGE_CRITICAL_MEGABYTES: undefined,
      OCELLI_STORAGE_CHECK_SECONDS: "0.1",
    },
  });
  hubs.push(hub);
  return hub;
}

/** Not one more byte: several files, since the last blocks of one may not do. */
function fill(): void {
  for (let file = 0; file < 3; file++) {
    try {
      for (let part = 0; ; part++)
        writeFileSync(join(disk, `ballast-${file}-${part}`), Buffer.alloc(part === 0 ? 65_536 : 4096));
    } catch (error) {
      expect(error).toMatchObject({ code: "ENOSPC" });
    }
  }
  expect(statfsSync(disk).bavail).toBe(0);
}

const names = async (hub: RunningHub): Promise<string[]> => {
  await using rpc = await hub.rpc();
  const { files } = await rpc.call<{ files: { filename: string }[] }>("list_snapshots");
  return files.map(({ filename }) => filename).sort();
};

describe.skipIf(smallDisksMustSkip())("a full disk", () => {
  afterEach(async () => {
    for (const hub of hubs.splice(0)) await hub.stop();
    mounted[Symbol.dispose]();
  });

  beforeEach(async () => {
    mounted = new SmallDisk("24m");
    disk = mounted.path;
    mkdirSync(join(disk, "data"));
    const hub = await start();
    await using rpc = await hub.rpc();
    for (const filename of ["a.jpg", "b.jpg", "c.jpg"])
      await rpc.call("take_snapshot", { device: "camera100", filename });
    // So that there is something to delete that makes room.
    await rpc.call("start_recording", { device: "camera100", filename: "r", duration: 1 });
    await rpc.waitFor("recording_status_update", ({ status }) => status === "STOPPED");
  });

  it.each(["SIGTERM", "SIGKILL"] as const)("does not keep the hub from starting after %s", async (signal) => {
    await hubs[0]?.end(signal);
    fill();
    const hub = await start();
    expect(await names(hub)).toEqual(["a.jpg", "b.jpg", "c.jpg"]);
    // After a crash the files of the database's log are there already.
    if (signal === "SIGTERM") expect(hub.output.join("\n")).toContain("the disk is full");
    const still = Buffer.from(await (await hub.fetch("/files/snapshots/a.jpg")).arrayBuffer());
    expect(still.equals(readFileSync(hub.file("snapshots", "a.jpg")))).toBe(true);
    await using rpc = await hub.rpc();
    await expect(rpc.call("take_snapshot", { device: "camera100" })).rejects.toMatchObject({
      data: { code: expect.stringMatching(/^storage_/) },
    });
    expect(await rpc.call("delete_snapshot", { filename: "a.jpg" })).toMatchObject({ deleted: true });
    expect(await rpc.call("delete_recording", { filename: "r" })).toMatchObject({ deleted: true });
    expect(await names(hub)).toEqual(["b.jpg", "c.jpg"]);
    await rpc.close();
    // The next start is a normal one, and everything is there.
    expect(await hub.end("SIGTERM")).toEqual({ code: 0, signal: null });
    execFileSync("sh", ["-c", `rm -f ${join(disk, "ballast-")}*`]);
    const again = await start();
    expect(await names(again)).toEqual(["b.jpg", "c.jpg"]);
    expect(again.output.join("\n")).not.toContain("the disk is full");
    await using after = await again.rpc();
    expect(await after.call("take_snapshot", { device: "camera100", filename: "d.jpg" })).toMatchObject({
      success: true,
    });
  });

  it("does not keep a running hub from answering and deleting", async () => {
    fill();
    const [hub] = hubs;
    if (hub === undefined) throw new Error("no hub");
    await using rpc = await hub.rpc();
    expect(await names(hub)).toEqual(["a.jpg", "b.jpg", "c.jpg"]);
    for (const filename of ["a.jpg", "b.jpg"])
      expect(await rpc.call("delete_snapshot", { filename })).toMatchObject({ deleted: true });
    expect(await rpc.call("delete_recording", { filename: "r" })).toMatchObject({ deleted: true });
    expect(await names(hub)).toEqual(["c.jpg"]);
    // With room again it goes on.
    execFileSync("sh", ["-c", `rm -f ${join(disk, "ballast-")}*`]);
    await until("a snapshot", () =>
      rpc.call("take_snapshot", { device: "camera100", filename: "d.jpg" }).then(
        () => true,
        () => false,
      ),
    );
    expect(await names(hub)).toEqual(["c.jpg", "d.jpg"]);
  });
});
