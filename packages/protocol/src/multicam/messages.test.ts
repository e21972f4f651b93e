import { describe, expect, it } from "vitest";
import {
  CommandMessage,
  CommandType,
  DeviceStatus,
  generateFileId,
  isError,
  isSuccess,
  normaliseStatus,
  parseFileHeader,
  parseFiles,
  parseStatus,
  statusOfProse,
  writeError,
  writeFileHeader,
  writeFiles,
  writeStatus,
  writeStopped,
  writeUploadQueued,
  writeUploadStatus,
} from "./index.ts";

const json = (text: string): Record<string, unknown> => JSON.parse(text);

describe("commands", () => {
  it("write exactly the keys of the first dialect, null included", () => {
    const command = CommandMessage.startRecording({ timestamp: 1729000000.123 });
    expect(command.toJson("v1")).toBe(
      '{"command":"START_RECORDING","timestamp":1729000000.123,"deviceId":"controller","fileId":null}',
    );
  });

  it("write all eleven keys of the second dialect", () => {
    const command = CommandMessage.uploadToCloud({ fileName: "a.mp4" }, "http://bucket/a?sig=1", {
      timestamp: 5,
    });
    expect(json(command.toJson("v2"))).toEqual({
      command: "UPLOAD_TO_CLOUD",
      timestamp: 5,
      deviceId: "controller",
      fileName: "a.mp4",
      uploadUrl: "http://bucket/a?sig=1",
      s3Bucket: null,
      s3Key: null,
      awsAccessKeyId: null,
      awsSecretAccessKey: null,
      awsSessionToken: null,
      awsRegion: null,
    });
  });

  it("name a file in both ways for a device nobody knows, and write no null", () => {
    const command = CommandMessage.getVideo({ fileId: "cam_1", fileName: "cam_1.mp4" }, { timestamp: 5 });
    expect(json(command.toJson())).toEqual({
      command: "GET_VIDEO",
      timestamp: 5,
      deviceId: "controller",
      fileId: "cam_1",
      fileName: "cam_1.mp4",
    });
    expect(new TextDecoder().decode(command.toBytes())).toBe(command.toJson());
  });

  it("start now when the time is left out or 0, as the published package does", () => {
    const before = Date.now() / 1000;
    for (const command of [
      CommandMessage.startRecording(),
      CommandMessage.startRecording({ timestamp: 0 }),
    ]) {
      expect(command.fields.timestamp).toBeGreaterThanOrEqual(before - 1);
      expect(command.fields.timestamp).toBeLessThanOrEqual(Date.now() / 1000 + 1);
    }
  });

  it.each(Object.values(CommandType))("read %s back", (command) => {
    const read = CommandMessage.fromJson(
      `{"command":"${command}","timestamp":1.5,"deviceId":"me","fileId":null}`,
    );
    expect(read.fields).toEqual({ command, timestamp: 1.5, deviceId: "me" });
  });

  it("fill in what a sparse sender leaves out", () => {
    const read = CommandMessage.fromJson('{"command":"DEVICE_STATUS","more":[1]}', { now: 77 });
    expect(read.fields).toEqual({ command: "DEVICE_STATUS", timestamp: 77, deviceId: "controller" });
    expect(() => CommandMessage.fromJson('{"command":"DEVICE_STATUS"}', { strict: true })).toThrow(
      /no timestamp/,
    );
  });

  it.each([
    ["", /not JSON/],
    ["[]", /not a JSON object/],
    ['{"command":"start_recording","timestamp":1}', /Unknown command: start_recording/],
    ['{"command":7}', /Unknown command: number/],
    ['{"command":"GET_VIDEO","timestamp":"now"}', /no usable timestamp/],
    ['{"command":"GET_VIDEO","timestamp":1,"fileName":{}}', /no usable fileName/],
    ['{"command":"__proto__"}', /Unknown command/],
  ])("refuse %s", (text, reason) => {
    expect(() => CommandMessage.fromJson(text)).toThrow(reason);
  });

  it("take an S3 target only whole", () => {
    const target = {
      s3Bucket: "b",
      s3Key: "k",
      awsAccessKeyId: "a",
      awsSecretAccessKey: "s",
      awsSessionToken: "t",
      awsRegion: "r",
    };
    const command = CommandMessage.uploadToCloudWithIam("id", target);
    expect(CommandMessage.fromJson(command.toJson()).cloudTarget).toEqual(target);
    const { awsRegion: _none, ...partial } = command.fields;
    expect(new CommandMessage(partial).cloudTarget).toBeUndefined();
  });
});

describe("statuses", () => {
  it("are told apart in any case of letters; an unknown one is neither", () => {
    expect([isSuccess("READY"), isError("READY")]).toEqual([true, false]);
    expect([isSuccess("Error"), isError("Error")]).toEqual([false, true]);
    expect([isSuccess("what"), isError("what")]).toEqual([false, false]);
    for (const status of Object.values(DeviceStatus)) expect(isSuccess(status)).toBe(!isError(status));
  });

  it.each([
    ["Already Recording", "recording", undefined],
    ["Heartbeat acknowledged", "command_received", undefined],
    ["Immediate recording started", "recording", undefined],
    ["200", "ready", undefined],
    ["Scheduled recording accepted", "scheduled_recording_accepted", undefined],
    ["Missing fileId parameter", "error", "Missing fileId parameter"],
  ])("read %s as %s", (text, status, message) => {
    expect(normaliseStatus(text)).toEqual(message === undefined ? { status } : { status, message });
  });
});

const facts = { deviceId: "cam", timestamp: 9.5, isRecording: true, deviceType: "Android:Phone" };
const item = {
  fileId: "a",
  fileName: "a.mp4",
  fileSize: 10,
  bytesUploaded: 5,
  uploadProgress: 50,
  uploadSpeed: 3.7,
  status: "uploading",
  uploadUrl: undefined,
  error: undefined,
};

/** How the published controller of the second dialect tells replies apart (spec section 5.2). */
function classOf(reply: Record<string, unknown>): string {
  if (reply.status === "recording_stopped") return "stop";
  if ("fileName" in reply && "fileSize" in reply) return "stop";
  if (reply.status === "file_not_found" || reply.status === "error" || "message" in reply) return "error";
  return "status";
}

describe("replies", () => {
  it("are what controllers of the second dialect take them for", () => {
    expect(classOf(json(writeStatus(facts, "ready")))).toBe("status");
    expect(classOf(json(writeUploadStatus(facts, item)))).toBe("status");
    expect(classOf(json(writeStopped(facts, { fileName: "a.mp4", fileSize: 3 })))).toBe("stop");
    expect(classOf(json(writeUploadQueued(facts, { fileName: "a.mp4", fileSize: 3 })))).toBe("stop");
    expect(classOf(json(writeError(facts, "time_not_synchronized", "no clock")))).toBe("error");
  });

  it("have the keys controllers of the first dialect require", () => {
    for (const text of [
      writeStatus(facts, "ready"),
      writeStopped(facts, { fileName: "a.mp4", fileSize: 3 }),
    ]) {
      expect(json(text)).toMatchObject({ deviceId: "cam", timestamp: 9.5, isRecording: true });
    }
    expect(json(writeStopped(facts, { fileName: "a.b.mp4", fileSize: 3 }))).toMatchObject({
      ...{ fileId: "a.b", fileName: "a.b.mp4", fileSize: 3 },
    });
    expect(json(writeStatus(facts, "ready"))).toMatchObject({ uploadQueue: [], failedUploadQueue: [] });
  });

  it("read back what was written", () => {
    const queued = { ...facts, uploadQueue: [item], failedUploadQueue: [{ ...item, error: "403" }] };
    const read = parseStatus(writeStatus(queued, "recording"));
    expect(read).toMatchObject({
      status: "recording",
      isRecording: true,
      message: undefined,
      fileName: undefined,
    });
    expect(read.uploadQueue).toEqual([{ ...item, uploadSpeed: 3 }]);
    expect(read.failedUploadQueue[0]?.error).toBe("403");
    const files = [{ fileName: "b.mp4", fileSize: 2, creationDate: 4, modificationDate: 5 }];
    expect(parseFiles(writeFiles(facts, files)).files).toEqual([{ fileId: "b", ...files[0] }]);
    expect(parseFileHeader(writeFileHeader("cam", { fileName: "b.mp4", fileSize: 2 }))).toEqual({
      ...{ deviceId: "cam", fileId: "b", fileName: "b.mp4", fileSize: 2, status: "ready" },
    });
  });

  it("are read from devices of every make", () => {
    // The first OAK server.
    expect(
      parseStatus('{"status":"Recording stopped","isRecording":false}', { deviceId: "d", receivedAt: 3 }),
    ).toMatchObject({ deviceId: "d", status: "recording_stopped", timestamp: 3, isRecording: false });
    // Android drops nulls, says -1 for an unknown battery, and gives errors no message.
    expect(parseStatus('{"deviceId":"d","status":"error","timestamp":1,"batteryLevel":-1.0}')).toMatchObject({
      batteryLevel: undefined,
      message: "error",
    });
    expect(parseStatus('{"status":200}').status).toBe("ready");
    expect(parseStatus('{"isRecording":true}')).toMatchObject({ status: "recording", isRecording: true });
    expect(statusOfProse("No recording in progress\n")).toMatchObject({
      status: "error",
      message: "No recording in progress",
    });
    expect(parseFileHeader('{"fileId":"v_1","fileName":"v_1.zip","fileSize":7}')).toMatchObject({
      fileSize: 7,
    });
    expect(parseFiles('{"status":"Files listed successfully","files":[{"fileId":"v"},{}]}').files).toEqual([
      { fileId: "v", fileName: "v", fileSize: 0, creationDate: 0, modificationDate: 0 },
    ]);
  });

  it.each([
    '{"fileName":"a","fileSize":-1}',
    '{"fileName":"a","fileSize":1e300}',
    '{"fileSize":3}',
    "[]",
    "null",
  ])("refuse the file header %s", (text) => {
    expect(() => parseFileHeader(text)).toThrow(/header/);
  });
});

it("makes ids of recordings as the published constant says", () => {
  expect(generateFileId("Valley-A1B2C3D4", 1729000000123)).toBe("Valley-A1B2C3D4_1729000000123");
});
