import { createHash } from "node:crypto";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { MultiCamController, type MultiCamDevice } from "@ocelli/client/node";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type RunningHub, startHub, until, virtualCameras } from "../harness/hub.ts";
import { PythonStorage } from "../harness/multicam.ts";

/** What the storage was asked it tells by a pipe, which may be later than its answer. */
const told = { timeout: 10_000 };

// UPLOAD_TO_CLOUD: the hub sends its files to storages of other make (test/clients/upload_receiver.py).

const env = {
  ...virtualCameras({ size: "320x240", fps: 25 }),
  OCELLI_MULTICAM_ENABLED: "true",
  OCELLI_MULTICAM_UPLOAD_HOSTS: "127.0.0.1,*.example.org",
};
const aws = {
  id: "AKIAEXAMPLE",
  secret: "s3cr3t/key+with=signs",
  token: "session/token==",
  region: "eu-central-1",
};

/** A hub with its only camera as a device, and a controller. */
class Scene implements AsyncDisposable {
  readonly hub: RunningHub;
  readonly controller: MultiCamController;
  readonly device: MultiCamDevice;

  constructor(hub: RunningHub) {
    this.hub = hub;
    this.controller = new MultiCamController();
    this.device = this.controller.add({ host: "127.0.0.1", port: hub.port });
  }

  static async open(more: Record<string, string> = {}, dataDir?: string): Promise<Scene> {
    return new Scene(
      await startHub({ env: { ...env, ...more }, ...(dataDir === undefined ? {} : { dataDir }) }),
    );
  }

  async record(): Promise<{ fileName: string; path: string; sha256: string }> {
    const { results } = await this.controller.startRecording({ at: Date.now() / 1000 });
    expect(results).toMatchObject([{ ok: true }]);
    const [stopped] = await this.controller.stopRecording();
    if (stopped?.ok !== true || stopped.value.fileName === undefined) throw new Error("nothing recorded");
    const { fileName } = stopped.value;
    const path = this.hub.file("recordings", fileName);
    return { fileName, path, sha256: createHash("sha256").update(readFileSync(path)).digest("hex") };
  }

  upload(fileName: string, uploadUrl: string) {
    return this.controller.uploadToCloud(this.device.id, { fileName }, { uploadUrl });
  }

  /** Until nothing waits and nothing runs. */
  async settled() {
    return until("the uploads are over", async () => {
      const uploads = await this.controller.uploads(this.device.id);
      return uploads.running.length === 0 && uploads;
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.controller.close();
    await this.hub.stop();
  }
}

describe("an upload to a presigned address", () => {
  let scene: Scene;
  beforeAll(async () => {
    scene = await Scene.open();
  });
  afterAll(() => scene[Symbol.asyncDispose]());

  it("arrives whole after it broke twice half-way, and the file stays", async () => {
    await using storage = await PythonStorage.start("--break", "2");
    const file = await scene.record();
    const reply = await scene.upload(file.fileName, storage.url(file.fileName));
    expect(reply).toMatchObject({ status: "upload_queued", fileName: file.fileName });
    // Again while it waits: not twice.
    await scene.upload(file.fileName, storage.url(file.fileName));
    const put = await storage.line("the file", (facts) => "put" in facts);
    expect(put).toMatchObject({ put: `/bucket/${file.fileName}`, sha256: file.sha256 });
    expect(await scene.settled()).toMatchObject({ running: [], failed: [] });
    await expect.poll(() => storage.lines.filter((facts) => "broken" in facts), told).toHaveLength(2);
    await expect.poll(() => storage.lines.filter((facts) => "put" in facts), told).toHaveLength(1);
    expect(existsSync(file.path)).toBe(true);
  });

  it("is seen on its way, and the device records meanwhile", async () => {
    await using storage = await PythonStorage.start("--stall");
    const file = await scene.record();
    await scene.upload(file.fileName, storage.url(file.fileName));
    await storage.line("half of it", (facts) => "stalled" in facts);
    const [item] = (await scene.controller.uploads(scene.device.id)).running;
    expect(item).toMatchObject({ fileName: file.fileName, status: "uploading" });
    // What gives access is not told.
    expect(item?.uploadUrl).toBe(`http://127.0.0.1:${storage.port}/bucket/${file.fileName}`);
    const next = await scene.record();
    await scene.upload(next.fileName, storage.url(next.fileName));
    const { running } = await scene.controller.uploads(scene.device.id);
    expect(running.map(({ status }) => status)).toEqual(["uploading", "queued"]);
    storage.send({ go: true });
    await storage.line("the second", (facts) => facts.put === `/bucket/${next.fileName}`);
    expect(await scene.settled()).toMatchObject({ failed: [] });
    expect(scene.hub.output.join("\n")).not.toContain("let-me-in");
  });

  it("that is refused for good is among the failed, says why, and may be asked for again", async () => {
    await using storage = await PythonStorage.start();
    const file = await scene.record();
    await scene.upload(file.fileName, storage.url(file.fileName, "wrong"));
    const { failed } = await scene.settled();
    expect(failed).toMatchObject([{ fileName: file.fileName, status: "failed" }]);
    expect(failed[0]?.error).toContain("403 (AccessDenied)");
    await expect.poll(() => storage.lines.filter((facts) => "refused" in facts), told).toHaveLength(3);
    // An idle device is ready, whatever became of an upload.
    expect((await scene.controller.status(scene.device.id)).status).toBe("ready");
    await scene.upload(file.fileName, storage.url(file.fileName));
    expect(await scene.settled()).toMatchObject({ failed: [] });
    await expect.poll(() => storage.lines.at(-1), told).toMatchObject({ sha256: file.sha256 });
  });

  it.each([
    ["a host that is not allowed", "http://10.0.0.1/x", "not allowed"],
    ["a host that only looks like an allowed one", "http://badexample.org/x", "not allowed"],
    ["another protocol", "file:///etc/passwd", "http or https"],
    ["a user name in it", "http://me:secret@127.0.0.1/x", "http or https"],
    ["no address at all", "somewhere", "http or https"],
  ])("to %s is refused", async (_what, url, why) => {
    const file = await scene.record();
    await expect(scene.upload(file.fileName, url)).rejects.toMatchObject({
      code: "refused",
      message: expect.stringContaining(why),
    });
    expect(await scene.settled()).toMatchObject({ failed: [] });
  });

  it("of a file that is not there is refused", async () => {
    await expect(scene.upload("none.mp4", "http://127.0.0.1/x")).rejects.toMatchObject({
      code: "file_not_found",
    });
  });
});

it("keeps the file from the retention policy until it is over", async () => {
  await using scene = await Scene.open();
  await using storage = await PythonStorage.start("--stall");
  await using rpc = await scene.hub.rpc();
  const file = await scene.record();
  await scene.upload(file.fileName, storage.url(file.fileName));
  await storage.line("half of it", (facts) => "stalled" in facts);
  await rpc.call("set_retention_policy", { policy_type: "size", enabled: true, max_size_gb: 1e-9 });
  const kept = await rpc.call<{ message: string }>("cleanup_old_files", {});
  expect(kept).toMatchObject({ files_deleted: 0, message: expect.stringContaining("1 kept until") });
  expect(existsSync(file.path)).toBe(true);
  storage.send({ go: true });
  await storage.line("the file", (facts) => facts.sha256 === file.sha256);
  await until("it is deleted", () => !existsSync(file.path));
});

it("goes on after the hub was killed in the middle of it", async () => {
  const dataDir = mkdtempSync(join(tmpdir(), "ocelli-uploads-"));
  try {
    await using storage = await PythonStorage.start("--stall");
    const first = await Scene.open({}, dataDir);
    const file = await first.record();
    await first.upload(file.fileName, storage.url(file.fileName));
    await storage.line("half of it", (facts) => "stalled" in facts);
    await first.hub.end("SIGKILL");
    await first.controller.close();
    storage.send({ go: true });
    await using second = await Scene.open({}, dataDir);
    expect(await storage.line("the file", (facts) => "put" in facts)).toMatchObject({ sha256: file.sha256 });
    expect(await second.settled()).toMatchObject({ failed: [] });
  } finally {
    rmSync(dataDir, { recursive: true, force: true });
  }
});

describe("a file is deleted after its upload", () => {
  it("only when the receiver proved that it has it", async () => {
    await using scene = await Scene.open({ OCELLI_MULTICAM_DELETE_AFTER_UPLOAD: "true" });
    await using silent = await PythonStorage.start("--etag", "none");
    const kept = await scene.record();
    await scene.upload(kept.fileName, silent.url(kept.fileName));
    await silent.line("the file", (facts) => "put" in facts);
    expect(await scene.settled()).toMatchObject({ failed: [] });

    await using lying = await PythonStorage.start("--etag", "wrong");
    const doubted = await scene.record();
    await scene.upload(doubted.fileName, lying.url(doubted.fileName));
    expect((await scene.settled()).failed[0]?.error).toContain("checksum");

    await using honest = await PythonStorage.start();
    const gone = await scene.record();
    await scene.upload(gone.fileName, honest.url(gone.fileName));
    await until("it is deleted", () => !existsSync(gone.path));
    // Its entry goes after it.
    await expect
      .poll(async () =>
        (await scene.controller.listFiles(scene.device.id)).map(({ fileName }) => fileName).sort(),
      )
      .toEqual([kept.fileName, doubted.fileName].sort());
    expect([existsSync(kept.path), existsSync(doubted.path)]).toEqual([true, true]);
  });
});

describe("an upload with S3 credentials", () => {
  it("is signed as S3 wants it, checked by a HEAD, and neither logged nor kept", async () => {
    await using storage = await PythonStorage.start(
      ...["--key-id", aws.id, "--secret", aws.secret, "--session-token", aws.token, "--region", aws.region],
      ...["--etag", "none"],
    );
    await using scene = await Scene.open({
      OCELLI_MULTICAM_S3_ENDPOINT: `http://127.0.0.1:${storage.port}`,
      OCELLI_MULTICAM_DELETE_AFTER_UPLOAD: "true",
    });
    const file = await scene.record();
    const s3Key = `2026-11-21/a session (1)/exo/${file.fileName}`;
    const target = {
      ...{ s3Bucket: "my-bucket", s3Key, awsRegion: aws.region },
      ...{ awsAccessKeyId: aws.id, awsSecretAccessKey: aws.secret, awsSessionToken: aws.token },
    };
    await scene.controller.uploadToCloud(scene.device.id, { fileName: file.fileName }, target);
    expect(await storage.line("the file", (facts) => "put" in facts)).toMatchObject({
      put: `/my-bucket/${s3Key}`,
      sha256: file.sha256,
    });
    await until("it is deleted", () => !existsSync(file.path));
    await expect
      .poll(() => storage.lines.map((facts) => Object.keys(facts)[0]), told)
      .toEqual(["port", "put", "head"]);
    expect(scene.hub.output.join("\n")).not.toContain(aws.secret);
    for (const name of ["ocelli.db", "ocelli.db-wal"]) {
      const path = join(scene.hub.dataDir, "state", name);
      if (existsSync(path)) expect(readFileSync(path).includes(aws.secret), name).toBe(false);
    }
  });

  it("fails with what S3 says when they are wrong", async () => {
    await using storage = await PythonStorage.start(
      ...["--key-id", aws.id, "--secret", "another", "--session-token", aws.token, "--region", aws.region],
    );
    await using scene = await Scene.open({ OCELLI_MULTICAM_S3_ENDPOINT: `http://127.0.0.1:${storage.port}` });
    const file = await scene.record();
    const target = {
      ...{ s3Bucket: "my-bucket", s3Key: file.fileName, awsRegion: aws.region },
      ...{ awsAccessKeyId: aws.id, awsSecretAccessKey: aws.secret, awsSessionToken: aws.token },
    };
    await scene.controller.uploadToCloud(scene.device.id, { fileName: file.fileName }, target);
    expect((await scene.settled()).failed[0]?.error).toContain("AccessDenied");
    expect(storage.lines).toContainEqual({ refused: "another signature" });
    expect(existsSync(file.path)).toBe(true);
  });
});
