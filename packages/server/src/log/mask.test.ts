import { describe, expect, it } from "vitest";
import { maskSecrets, secretsInUrls } from "./mask.ts";

describe("maskSecrets", () => {
  it.each([
    ["rtsp://admin:pa55@10.0.0.5:554/live", "rtsp://***@10.0.0.5:554/live"],
    ["open rtsp://a:p@ss:w@cam/x failed", "open rtsp://***@cam/x failed"],
    ["http://cam/v?user=a&password=b&x=1", "http://cam/v?user=a&password=***&x=1"],
    ["http://cam/v?access_token=abc", "http://cam/v?access_token=***"],
    [
      "http://cam/videostream.cgi?loginuse=admin&loginpas=pa55",
      "http://cam/videostream.cgi?loginuse=admin&loginpas=***",
    ],
    [
      "rtsp://cam/user=admin&password=pa55&channel=1.sdp?x",
      "rtsp://cam/user=admin&password=***&channel=1.sdp?x",
    ],
    ["rtsp://cam/user=admin_password=pa55&x=1", "rtsp://cam/user=admin_password=***&x=1"],
    ["srt://h:1?streamid=abc&passphrase=def", "srt://h:1?streamid=***&passphrase=***"],
    ["Authorization: Basic YWRtaW46eA==", "Authorization: Basic ***"],
    ["authorization: Bearer eyJ.a.b", "authorization: Bearer ***"],
    ["http://cam/monkey?frames=3", "http://cam/monkey?frames=3"],
    ["mail me@example.org at 12:30", "mail me@example.org at 12:30"],
  ])("%s", (text, expected) => {
    expect(maskSecrets(text)).toBe(expected);
  });

  it("masks strings known to be secret, also URL-encoded", () => {
    expect(maskSecrets("wrong password s3/cret! (s3%2Fcret!)", ["s3/cret!"])).toBe(
      "wrong password *** (***)",
    );
  });

  it("masks the longer of two secrets first", () => {
    expect(maskSecrets("abcdef", ["abc", "abcdef"])).toBe("***");
  });

  it("finds the secrets of URLs, whatever bytes the password has", () => {
    const secrets = secretsInUrls(["-i", "rtsp://u:p%40/w#d@cam/live?x=a@b"]);
    expect(secrets).toContain("p%40/w#d");
    expect(secrets).toContain("p@/w#d");
    expect(maskSecrets("cannot open rtsp://u:p%40/w#d@cam/live", secrets)).not.toMatch(/w#d/);
    expect(secretsInUrls(["http://cam/path@here?x=1", "file.mp4"])).toEqual([]);
  });
});

it("takes time in proportion to the text, whatever is in it", () => {
  const timeOf = (text: string): number => {
    // Of the processor: others may have it in between.
    const before = process.threadCpuUsage();
    maskSecrets(text);
    const { user, system } = process.threadCpuUsage(before);
    return (user + system) / 1000;
  };
  for (const unit of ["a", "a.", "?token", "&auth=", "a://", "password"]) {
    const short = Math.min(...[1, 2, 3].map(() => timeOf(unit.repeat(10_000))));
    // In proportion 20 times as much; by the square 400 times.
    expect(timeOf(unit.repeat(200_000)), unit).toBeLessThan(Math.max(0.5, short) * 150);
  }
});
