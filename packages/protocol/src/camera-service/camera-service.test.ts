import { describe, expect, it } from "vitest";
import { errorCodes, OcelliError } from "../errors.ts";
import { errorFromWire, errorTable } from "./errors.ts";
import {
  afterAuthenticate,
  afterDevice,
  afterMethod,
  defaultDialectSettings,
  type MethodName,
  methodNames,
  methods,
  openingDialect,
  readParams,
  roleIncludes,
  tokenIn,
  wireForm,
} from "./index.ts";
import { readTimestampUs } from "./values.ts";

function refusal(method: MethodName, params: unknown): OcelliError {
  try {
    readParams(method, params);
  } catch (error) {
    if (error instanceof OcelliError) return error;
    throw error;
  }
  throw new Error(`${method} accepted ${JSON.stringify(params)}`);
}

describe("parameters", () => {
  it("take every spelling of a camera, the name itself first", () => {
    for (const name of ["device", "device_path", "camera", "camera_id"]) {
      expect(readParams("get_camera_status", { [name]: "/dev/video0" })).toEqual({ device: "/dev/video0" });
    }
    expect(readParams("get_camera_status", { camera: "b", device: "a" })).toEqual({ device: "a" });
    expect(readParams("get_camera_status", { camera: "b", device: null })).toEqual({ device: "b" });
  });

  it("take positions in the order of the schema", () => {
    expect(readParams("take_snapshot", ["camera0", "a.jpg"])).toEqual({
      device: "camera0",
      filename: "a.jpg",
    });
    expect(readParams("list_recordings", [5, 10])).toEqual({ limit: 5, offset: 10 });
    expect(readParams("ping", [])).toEqual({});
    expect(refusal("ping", [1]).details.param).toBe("params");
  });

  it("turn digit strings into numbers, and only those", () => {
    expect(readParams("list_recordings", { limit: "20", offset: 3.0 })).toEqual({ limit: 20, offset: 3 });
    expect(readParams("start_recording", { device: "a", duration: "2.5" }).duration).toBe(2.5);
    for (const limit of [true, "", " ", "1e3", "0x10", "abc", 1.5, 0, 1001, {}, [1]]) {
      expect(refusal("list_recordings", { limit }).details.param).toBe("limit");
    }
  });

  it("drop unknown keys and treat null as absent", () => {
    expect(
      readParams("take_snapshot", { device: "a", filename: null, colour: "red", auth_token: "x" }),
    ).toEqual({
      device: "a",
    });
    expect(readParams("ping", null)).toEqual({});
    expect(readParams("ping", undefined)).toEqual({});
  });

  it("are never taken from the prototype", () => {
    const params: unknown = JSON.parse('{"__proto__":{"device":"a"},"constructor":1}');
    expect(refusal("get_camera_status", params).message).toBe("device is required");
    expect(tokenIn(JSON.parse('{"__proto__":{"token":"a"}}'))).toBeUndefined();
  });

  it.each([
    ["get_camera_status", {}, "device"],
    ["get_camera_status", { device: "" }, "device"],
    ["get_camera_status", { device: 7 }, "device"],
    ["get_camera_status", { device: "../video0" }, "device"],
    ["get_camera_status", { device: "a\u0000b" }, "device"],
    ["take_snapshot", { device: "a", quality: 0 }, "quality"],
    ["take_snapshot", { device: "a", quality: 101 }, "quality"],
    ["take_snapshot", { device: "a", format: "gif" }, "format"],
    ["start_recording", { device: "a", duration: 0 }, "duration"],
    ["start_recording", { device: "a", duration: -1 }, "duration"],
    ["start_recording", { device: "a", duration: 86401 }, "duration"],
    ["start_recording", { device: "a", duration_hours: 25 }, "duration_hours"],
    ["start_recording", { device: "a", format: "avi" }, "format"],
    ["start_recording", { device: "a", start_at: "tomorrow" }, "start_at"],
    ["start_recording", { device: "a", resolution: "big" }, "resolution"],
    ["delete_recording", {}, "filename"],
    ["ping", "text", "params"],
    ["ping", 5, "params"],
  ] as const)("%s refuses %j", (method, params, param) => {
    const error = refusal(method, params);
    expect(error.code).toBe("invalid_params");
    expect(error.details.param).toBe(param);
  });

  it.each([
    ["2025-01-15T14:30:00.123456Z", 1_736_951_400_123_456],
    ["2025-01-15T15:30:00+01:00", 1_736_951_400_000_000],
    ["2025-01-15T15:30:00.5+0100", 1_736_951_400_500_000],
    ["2025-01-15 14:30Z", 1_736_951_400_000_000],
    [1_736_951_400.25, 1_736_951_400_250_000],
    ["1736951400.25", 1_736_951_400_250_000],
    ["2025-02-31T00:00:00Z", undefined],
    ["2025-13-01T00:00:00Z", undefined],
    [-1, undefined],
    [Number.NaN, undefined],
    [1_736_951_400_250, undefined],
    [true, undefined],
    ["now", undefined],
  ])("reads the time %j", (value, us) => expect(readTimestampUs(value)).toBe(us));

  it("reads a time without a zone as local time", () => {
    expect(readTimestampUs("2025-07-01T12:00:00")).toBe(new Date(2025, 6, 1, 12).getTime() * 1000);
  });
});

describe("the dialect", () => {
  const plain = openingDialect(new URLSearchParams(), "");

  it("begins with device paths, JSON-RPC errors and no welcome", () => {
    expect(plain).toMatchObject({ names: "path", failures: "error", welcome: false });
  });

  it("becomes logical by a method only that dialect has, known to the hub or not", () => {
    expect(afterMethod(plain, "subscribe_events").names).toBe("logical");
    expect(afterMethod(plain, "add_external_stream").names).toBe("logical");
    expect(afterMethod(plain, "discover_external_streams").names).toBe("logical");
    expect(afterMethod(plain, "get_camera_list").names).toBe("path");
  });

  it("becomes logical by cameraN where the caller had a choice", () => {
    expect(afterDevice(plain, "camera0", true).names).toBe("logical");
    expect(afterDevice(plain, "camera100", false).names).toBe("path");
    expect(afterDevice(plain, "/dev/video0", true).names).toBe("path");
  });

  it("tells failures in-band to those who spell it token", () => {
    expect(afterAuthenticate(plain, { token: "x" }).failures).toBe("inband");
    expect(afterAuthenticate(plain, { token: "x", auth_token: "x" }).failures).toBe("inband");
    expect(afterAuthenticate(plain, { auth_token: "x" }).failures).toBe("error");
    const never = { ...defaultDialectSettings, legacyErrors: "never" } as const;
    expect(afterAuthenticate(plain, { token: "x" }, never).failures).toBe("error");
  });

  it("stays what the address fixed", () => {
    const fixed = openingDialect(new URLSearchParams("names=path&failures=error&welcome=0"), "echo-protocol");
    expect(fixed.welcome).toBe(false);
    expect(afterMethod(afterDevice(fixed, "camera0", true), "subscribe_events").names).toBe("path");
    expect(afterAuthenticate(fixed, { token: "x" }).failures).toBe("error");
    expect(openingDialect(new URLSearchParams("names=nonsense"), "").names).toBe("path");
  });

  it("welcomes those who negotiated the subprotocol", () => {
    const auto = new URLSearchParams();
    expect(openingDialect(auto, "echo-protocol").welcome).toBe(true);
    expect(openingDialect(new URLSearchParams("welcome=1"), "").welcome).toBe(true);
    expect(
      openingDialect(auto, "echo-protocol", { ...defaultDialectSettings, welcome: "never" }).welcome,
    ).toBe(false);
  });
});

describe("errors", () => {
  it.each([
    ["path", "camera_not_found", -32004],
    ["logical", "camera_not_found", -32010],
    ["path", "already_recording", -1006],
    ["logical", "already_recording", -32020],
    ["path", "not_recording", -1003],
    ["path", "file_not_found", -1005],
    ["path", "storage_low", -1008],
    ["path", "storage_critical", -1010],
    ["logical", "storage_critical", -32007],
    ["path", "unsupported", -32008],
    ["logical", "unsupported", -32030],
    ["path", "permission_denied", -32003],
    ["logical", "permission_denied", -32002],
    ["path", "camera_busy", -1001],
    ["path", "capture_failed", -1003],
    ["logical", "capture_failed", -32050],
  ] as const)("in %s %s is %i", (names, condition, code) =>
    expect(wireForm(names, condition).code).toBe(code),
  );

  it("put the subject in, literally", () => {
    expect(wireForm("path", "camera_not_found", "$& /dev/video9").message).toBe(
      "Camera not found: $& /dev/video9",
    );
    expect(wireForm("path", "camera_not_found").message).toBe("Camera not found");
    expect(wireForm("path", "auth_required").message).toMatch(/^Authentication failed/);
    for (const code of errorCodes) {
      expect(wireForm("path", code).message).not.toContain("*");
      expect(wireForm("logical", code).message.length).toBeGreaterThan(3);
    }
  });

  it("come back as the same stable code in both vocabularies", () => {
    for (const code of errorCodes) {
      for (const names of ["path", "logical"] as const) {
        const error = errorFromWire({ ...wireForm(names, code, "x"), data: { code, reason: "why" } });
        expect([error.code, error.message]).toEqual([code, "why"]);
      }
    }
  });

  it("come back from servers without stable codes, and from nonsense", () => {
    expect(errorFromWire({ code: -32010, message: "Not found", data: { resource: "camera" } }).code).toBe(
      "camera_not_found",
    );
    expect(errorFromWire({ code: -1000, message: "x" }).code).toBe("camera_not_found");
    for (const nonsense of [null, undefined, 5, "x", [], { code: "x" }, { code: 1, data: 5 }]) {
      expect(errorFromWire(nonsense).code).toBe("internal");
    }
    expect(Object.keys(errorTable).length).toBe(errorCodes.length + 4);
  });
});

describe("roles", () => {
  it("include the lower ones", () => {
    expect(roleIncludes("admin", "viewer")).toBe(true);
    expect(roleIncludes("viewer", "operator")).toBe(false);
    expect(roleIncludes("viewer", "public")).toBe(true);
  });

  it("protect every method but those that tell nothing of cameras", () => {
    expect(methodNames.filter((name) => methods[name].access === "public")).toEqual([
      "ping",
      "authenticate",
      "login",
      "rpc.discover",
      "echo",
      "get_supported_methods",
    ]);
  });
});
