import { describe, expect, it } from "vitest";
import { lineMask } from "./mask-line.ts";

const through = (record: object, secrets: string[] = []): unknown =>
  JSON.parse(lineMask(secrets)(`${JSON.stringify(record)}\n`));

describe("a line of the log", () => {
  it.each([
    [{ msg: 'GET "http://cam/x?token=abc" failed' }, { msg: 'GET "http://cam/x?token=***" failed' }],
    [
      { url: "rtsp://a:b@cam/x", n: 1 },
      { url: "rtsp://***@cam/x", n: 1 },
    ],
    [
      { url: "http://c/?password=a\\", next: "b" },
      { url: "http://c/?password=***", next: "b" },
    ],
    [
      { headers: { authorization: 'Digest a="b\\"', "X-API-Key": "k" }, ok: true },
      { headers: { authorization: "***", "X-API-Key": "***" }, ok: true },
    ],
    [
      { params: { auth_token: "abc", device: "camera0" } },
      { params: { auth_token: "***", device: "camera0" } },
    ],
    [
      { secret: 'it ends with "', next: "kept" },
      { secret: "***", next: "kept" },
    ],
    [
      { secret: "", token: 'a"b', next: "kept" },
      { secret: "***", token: "***", next: "kept" },
    ],
    [{ msg: "Authorization: Bearer abc\nHost: x" }, { msg: "Authorization: Bearer ***\nHost: x" }],
    [{ path: "/live/camera0/mjpeg?exp=17&sig=abc-_d" }, { path: "/live/camera0/mjpeg?exp=17&sig=***" }],
    [{ stack: 'Error: "x"\n  at C:\\y' }, { stack: 'Error: "x"\n  at C:\\y' }],
  ])("%j stays JSON", (given, expected) => {
    expect(through(given)).toEqual(expected);
  });

  it("loses strings that are known to be secret, however they are written", () => {
    const secret = 'a "quoted" \\ secret/ü';
    const text = `webhook ${secret} and ${encodeURIComponent(secret)} failed`;
    expect(through({ msg: text, err: { cause: secret } }, [secret])).toEqual({
      msg: "webhook *** and *** failed",
      err: { cause: "***" },
    });
  });
});
