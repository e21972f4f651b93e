import { describe, expect, it } from "vitest";
import type { UploadTarget } from "../contract.ts";
import { addressOf, shownAddress } from "./address.ts";

const hosts = ["*.amazonaws.com", "bucket.example.org"];
const credentials = { awsAccessKeyId: "a", awsSecretAccessKey: "b", awsSessionToken: "c" };
const presigned = (uploadUrl: string): UploadTarget => ({ kind: "presigned", uploadUrl });
const s3 = (s3Bucket: string, s3Key: string, awsRegion = "eu-central-1"): UploadTarget => ({
  kind: "s3",
  target: { s3Bucket, s3Key, awsRegion, ...credentials },
});

describe("an address that files may be sent to", () => {
  it("is one of the operator's hosts", () => {
    const url = "https://bucket.example.org:8443/a?token=x";
    expect(addressOf(presigned(url), { hosts }).href).toBe(url);
    expect(addressOf(s3("my-bucket", "2026/a b/c+d.mp4"), { hosts }).href).toBe(
      "https://my-bucket.s3.eu-central-1.amazonaws.com/2026/a%20b/c%2Bd.mp4",
    );
    const s3Endpoint = "http://10.0.0.5:9000/";
    expect(addressOf(s3("my-bucket", "a"), { hosts: [], s3Endpoint }).href).toBe(
      "http://10.0.0.5:9000/my-bucket/a",
    );
  });

  it.each([
    "http://127.0.0.1/",
    "http://[::1]/",
    "http://169.254.169.254/latest/meta-data/",
    "http://localhost:8002/",
    // The same in other words.
    "http://2130706433/",
    "http://0x7f.1/",
    "http://bucket.example.org.evil.example/",
    "http://bucket.example.org@127.0.0.1/",
    "http://127.0.0.1#bucket.example.org",
    "http://evilamazonaws.com/",
    "http://bucket.example.org:x@bucket.example.org/",
    "ftp://bucket.example.org/",
    "file:///etc/passwd",
    "",
  ])("is not %s", (uploadUrl) => {
    expect(() => addressOf(presigned(uploadUrl), { hosts, s3Endpoint: "http://127.0.0.1:9000" })).toThrow(
      expect.objectContaining({ code: expect.stringMatching(/^(permission_denied|invalid_params)$/) }),
    );
  });

  it("cannot be turned elsewhere by a bucket, a key or a region", () => {
    for (const target of [
      s3("127.0.0.1/x?", "a"),
      s3("a@127.0.0.1", "a"),
      s3("my-bucket", "a", "x/../y"),
      s3("my-bucket", "a", "127.0.0.1#"),
      s3("my-bucket", "../other/a"),
      s3("my-bucket", "a/./b"),
    ]) {
      expect(() => addressOf(target, { hosts: ["*"] })).toThrow(
        expect.objectContaining({ code: "invalid_params" }),
      );
    }
    const s3Endpoint = "http://10.0.0.5:9000";
    expect(() => addressOf(s3("..", "a"), { hosts: [], s3Endpoint })).toThrow(/\.\./);
    expect(addressOf(s3("a/b?c", "d?e#f"), { hosts: [], s3Endpoint }).pathname).toBe("/a%2Fb%3Fc/d%3Fe%23f");
  });

  it.each([
    { awsSessionToken: "secret\nsecret" },
    { awsSessionToken: "secret€" },
    { awsSecretAccessKey: "secret\r\nHost: x" },
    { awsAccessKeyId: "secret secret" },
    { s3Key: "secret\ud800" },
    { s3Bucket: "secret\ud800" },
  ])("is not made with %j, which is not repeated", (wrong) => {
    const target = { ...{ s3Bucket: "b", s3Key: "a", awsRegion: "eu" }, ...credentials, ...wrong };
    const ask = (): URL => addressOf({ kind: "s3", target }, { hosts: [], s3Endpoint: "http://10.0.0.5" });
    expect(ask).toThrow(expect.objectContaining({ code: "invalid_params" }));
    expect(ask).not.toThrow("secret");
  });

  it("is shown without what gives access", () => {
    expect(shownAddress("https://x.example.org/a?X-Amz-Signature=secret")).toBe("https://x.example.org/a");
  });
});
