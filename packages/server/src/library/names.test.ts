import { codeOf } from "@ocelli/protocol";
import { describe, expect, it } from "vitest";
import {
  cameraOfName,
  checkName,
  completeName,
  defaultStem,
  isMediaName,
  maxNameBytes,
  stemOf,
  toBaseName,
  withSuffix,
} from "./names.ts";

const refusal = (work: () => unknown): string => {
  try {
    work();
  } catch (error) {
    return codeOf(error);
  }
  return "accepted";
};

describe("names a client may send", () => {
  it.each([
    "clip",
    "Front door 2",
    "a.b.c",
    "-rf",
    "über-straße",
    "カメラ",
    "📷",
    "con",
    "a".repeat(200),
    "%2e%2e%2f",
    "$(reboot)",
    "a;b&c'd",
  ])("accepts %j", (name) => {
    expect(refusal(() => checkName(name))).toBe("accepted");
  });

  it.each([
    "",
    "   ",
    ".",
    "..",
    ".hidden",
    "../../etc/passwd",
    "a/b",
    "a\\b",
    "a..b",
    "nul\0byte",
    "line\nfeed",
    "tab\t",
    "del\u007f",
    "c1\u0085",
    "a<b",
    "a>b",
    "c:stream",
    'quo"te',
    "pipe|",
    "what?",
    "star*",
    "photo\u202egpj.exe",
    "split\u2028line",
    "lone\ud800surrogate",
    "a".repeat(256),
    "..\\..\\windows",
  ])("refuses %j", (name) => {
    expect(refusal(() => checkName(name))).toBe("invalid_filename");
    expect(refusal(() => completeName(name, "mp4"))).toBe("invalid_filename");
  });

  it("says what is wrong and what to do, in bounded printable text", () => {
    expect(() => checkName(`x\u0007${"y".repeat(1000)}`)).toThrow(/longer than 255 characters/);
    expect(() => checkName("be\u0007ll")).toThrow(/contains U\+0007/);
    try {
      checkName(`\u0000${"y".repeat(254)}`);
    } catch (error) {
      expect(String(error)).not.toContain("\u0000");
      expect(String(error).length).toBeLessThan(400);
    }
  });
});

describe("completing a name", () => {
  it.each([
    ["my", "jpg", "my.jpg"],
    ["my.jpg", "jpg", "my.jpg"],
    ["my.JPG", "jpg", "my.JPG"],
    ["my.jpeg", "jpg", "my.jpeg"],
    ["v1.2", "mp4", "v1.2.mp4"],
    ["clip.mkv", "mp4", "clip.mkv.mp4"],
    ["evil.mp4.json", "mp4", "evil.mp4.json.mp4"],
  ])("%s with %s is %s", (wanted, extension, name) => {
    expect(completeName(wanted, extension)).toBe(name);
  });

  it("leaves room for the sidecar's extension within what a file system takes", () => {
    expect(maxNameBytes + Buffer.byteLength(".json.unreadable-1736951400000000")).toBeLessThanOrEqual(255);
    expect(completeName("a".repeat(maxNameBytes - 4), "mp4")).toHaveLength(maxNameBytes);
    expect(refusal(() => completeName("a".repeat(maxNameBytes - 3), "mp4"))).toBe("invalid_filename");
    expect(refusal(() => completeName("カ".repeat(90), "mp4"))).toBe("invalid_filename");
  });

  it.each([
    ["/srv/media/recordings/a.mp4", "a.mp4"],
    ["/srv/media/recordings//sub/./a.mp4", "a.mp4"],
    ["plain", "plain"],
  ])("reduces %s to %s", (wanted, base) => {
    expect(toBaseName(wanted, ["/srv/media/recordings/"])).toBe(base);
  });

  it.each([
    "/etc/passwd",
    "/srv/media/recordings/../../../etc/passwd",
    "/srv/media/recordings-evil/a.mp4",
    "/srv/media/recordings/",
    "/srv/media/recordings",
    "/srv/media/recordings/a\0.mp4",
    "/",
  ])("refuses the path %j", (wanted) => {
    expect(refusal(() => completeName(wanted, "mp4", ["/srv/media/recordings"]))).toBe("invalid_filename");
  });

  it("adds a suffix before the extension and stays within the limit", () => {
    expect(withSuffix("clip.mp4", 1)).toBe("clip_1.mp4");
    expect(withSuffix("a.b.mp4", 12)).toBe("a.b_12.mp4");
    const longest = withSuffix(`${"カ".repeat(70)}.mp4`, 1000);
    expect(longest).toMatch(/^カ+_1000\.mp4$/);
    expect(Buffer.byteLength(longest)).toBeLessThanOrEqual(maxNameBytes);
  });
});

describe("names the hub makes", () => {
  it("carries camera and local time", () => {
    const atUs = new Date(2025, 0, 15, 14, 30, 0).getTime() * 1000 + 999_999;
    expect(defaultStem("recording", "camera0", atUs)).toBe("camera0_2025-01-15_14-30-00");
    expect(defaultStem("snapshot", "camera12", atUs)).toBe("camera12_snapshot_2025-01-15_14-30-00");
  });

  it("knows media from what lies beside them", () => {
    expect(isMediaName("recording", "a.mp4")).toBe(true);
    expect(isMediaName("recording", "a.MKV")).toBe(true);
    expect(isMediaName("recording", "a.zip")).toBe(true);
    expect(isMediaName("recording", "a.mp4.json")).toBe(false);
    expect(isMediaName("recording", "a.jpg")).toBe(false);
    expect(isMediaName("recording", ".tmp-a.mp4")).toBe(false);
    expect(isMediaName("recording", "a..b.mp4")).toBe(false);
    expect(isMediaName("recording", "line\nfeed.mp4")).toBe(false);
    expect(isMediaName("snapshot", "a.jpeg")).toBe(true);
    expect(stemOf("recording", "v1.2.mp4")).toBe("v1.2");
    expect(stemOf("recording", "v1.2")).toBe("v1.2");
    expect(cameraOfName("camera7_2025-01-15_14-30-00.mp4")).toBe("camera7");
    expect(cameraOfName("holiday.mp4")).toBeUndefined();
  });
});
