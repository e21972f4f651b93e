import {
  MAX_REPLY_BYTES,
  parseFiles,
  parseStatus,
  writeStatus,
  writeStopped,
} from "@ocelli/protocol/multicam";
import { describe, expect, it } from "vitest";
import { filesReply, fittingReply, replyLimit } from "./replies.ts";

const facts = {
  deviceId: "Ocelli-00000000",
  timestamp: 1.5,
  isRecording: false,
  deviceType: "Android:Phone",
};

describe("an answer", () => {
  it("stays within what controllers read, and keeps the first uploads", () => {
    const item = (at: number) => ({
      ...{ fileId: `file${at}`, fileName: `file${at}.mp4`, fileSize: 1, bytesUploaded: 0, uploadProgress: 0 },
      ...{
        uploadSpeed: 0,
        status: "queued",
        uploadUrl: `https://example.org/${"x".repeat(200)}`,
        error: undefined,
      },
    });
    const uploadQueue = Array.from({ length: 300 }, (_, at) => item(at));
    const full = { ...facts, uploadQueue, failedUploadQueue: uploadQueue };
    for (const text of [
      fittingReply(full, (some) => writeStatus(some, "ready"), MAX_REPLY_BYTES),
      fittingReply(full, (some) => writeStopped(some, { fileName: "a.mp4", fileSize: 5 }), MAX_REPLY_BYTES),
    ]) {
      expect(Buffer.byteLength(text)).toBeLessThanOrEqual(MAX_REPLY_BYTES);
      const { uploadQueue: told } = parseStatus(text);
      expect(told.length).toBeGreaterThan(0);
      expect(told[0]?.fileName).toBe("file0.mp4");
    }
  });

  it("loses addresses before uploads, and those only for controllers that read little at once", () => {
    const uploadQueue = Array.from({ length: 100 }, (_, at) => ({
      ...{ fileId: `file${at}`, fileName: `file${at}.mp4`, fileSize: 1, bytesUploaded: 0, uploadProgress: 0 },
      ...{ uploadSpeed: 0, status: "queued", uploadUrl: "https://example.org/x", error: undefined },
    }));
    const told = (count: number, command: string) => {
      const some = { ...facts, uploadQueue: uploadQueue.slice(0, count) };
      const text = fittingReply(some, (all) => writeStatus(all, "ready"), replyLimit(command));
      return parseStatus(text).uploadQueue;
    };
    const v1 = '{"command":"DEVICE_STATUS","timestamp":1,"deviceId":"c","fileId":null}';
    for (const command of ['{"command":"DEVICE_STATUS"}', v1.replace("}", ',"fileName":null}')]) {
      expect(told(2, command)[0]?.uploadUrl).toBe("https://example.org/x");
      expect(told(100, command)).toHaveLength(100);
      expect(told(100, command)[0]?.uploadUrl).toBeUndefined();
    }
    expect(told(100, v1).length).toBeLessThan(30);
    expect(told(100, v1).length).toBeGreaterThan(10);
  });

  it("with files does so, too, and keeps the newest", () => {
    const file = (at: number, name: string) => ({
      ...{
        fileName: `${name}${at}.mp4`,
        fileSize: 123_456_789,
        creationDate: 1.5 - at,
        modificationDate: 2.5,
      },
    });
    const count = (name: string): number => {
      const files = Array.from({ length: 500 }, (_, at) => file(at, name));
      const text = filesReply(facts, files);
      expect(Buffer.byteLength(text)).toBeLessThan(65_536);
      const { files: told } = parseFiles(text);
      expect(told[0]?.fileName).toBe(`${name}0.mp4`);
      return told.length;
    };
    expect(count("Ocelli-00000000_172900000")).toBeGreaterThan(300);
    expect(count("ü".repeat(100))).toBeGreaterThan(80);
    expect(count("a")).toBeGreaterThan(count("ü".repeat(100)));
  });
});
