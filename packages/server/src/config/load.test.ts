import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { OcelliError } from "@ocelli/protocol";
import { describe, expect, it } from "vitest";
import { settingsHelp } from "./help.ts";
import { type ConfigSources, loadConfig } from "./load.ts";
import { settings } from "./settings.ts";

const load = (sources: Partial<ConfigSources> = {}) => loadConfig({ env: {}, argv: [], ...sources });

function yaml(text: string): string {
  const file = join(mkdtempSync(join(tmpdir(), "ocelli-config-")), "ocelli.yaml");
  writeFileSync(file, text);
  return file;
}

function refusal(sources: Partial<ConfigSources>): string {
  try {
    load(sources);
  } catch (error) {
    if (error instanceof OcelliError && error.code === "config_invalid") return error.message;
    throw error;
  }
  throw new Error("was accepted");
}

describe("configuration", () => {
  it("is complete without any input", () => {
    const { config } = load();
    expect(config.listen).toEqual(["0.0.0.0:8002", "0.0.0.0:8080"]);
    expect(config.dataDir).toBe("data");
    expect(config.recording.fragmentSeconds).toBe(1);
    expect(config.anonymous.enabled).toBe(false);
  });

  it("lets flags win over the environment, and that over the file", () => {
    const file = yaml("logLevel: warn\ndataDir: /from/file\nrecording:\n  segmentSeconds: 60\n");
    const { config, origin } = load({
      env: { OCELLI_CONFIG: file, OCELLI_DATA_DIR: "/from/env", OCELLI_LOG_LEVEL: "error" },
      argv: ["--log-level", "debug"],
    });
    expect(config.recording.segmentSeconds).toBe(60);
    expect(config.dataDir).toBe("/from/env");
    expect(config.logLevel).toBe("debug");
    expect(origin.get("dataDir")).toBe("OCELLI_DATA_DIR");
    expect(origin.has("listen")).toBe(false);
  });

  it("keeps the fixed environment names", () => {
    const names = settings.map((setting) => setting.env);
    expect(names).toEqual(
      expect.arrayContaining(["OCELLI_DATA_DIR", "OCELLI_LISTEN", "OCELLI_ADMIN_KEY", "OCELLI_LOG_LEVEL"]),
    );
    expect(new Set(names).size).toBe(names.length);
  });

  it("reads lists and JSON from text", () => {
    const { config } = load({
      env: { OCELLI_LISTEN: "127.0.0.1:0, [::1]:9000", OCELLI_CAMERAS: '[{"url":"rtsp://h/a"}]' },
    });
    expect(config.listen).toEqual(["127.0.0.1:0", "[::1]:9000"]);
    expect(config.cameras[0]).toEqual({ url: "rtsp://h/a", transport: "tcp", audio: true });
  });

  it("takes a comma list in the file as well", () => {
    const file = yaml("listen: 127.0.0.1:1, 127.0.0.1:2\n");
    expect(load({ argv: ["--config", file] }).config.listen).toEqual(["127.0.0.1:1", "127.0.0.1:2"]);
    expect(refusal({ argv: ["--config", yaml("listen: localhost:70000\n")] })).toMatch(
      /port must be 0 to 65535/,
    );
  });

  it.each([
    [{ argv: ["--log-levl", "info"] }, /--log-levl: no such flag; did you mean --log-level\?/],
    [{ env: { OCELLI_DATADIR: "x" } }, /OCELLI_DATADIR: no such setting; did you mean OCELLI_DATA_DIR\?/],
    [{ env: { OCELLI_LISTEN: "8002" } }, /OCELLI_LISTEN: listen\.0: "8002" is not allowed: .*host:port/],
    [
      { env: { OCELLI_RECORDING_SYNC: "always" } },
      /OCELLI_RECORDING_SYNC.*"always".*fragment \| segment \| none/,
    ],
    [
      { env: { OCELLI_CAPTURE_LINGER_SECONDS: "soon" } },
      /"soon" is not allowed; allowed is a number from 0 to 3600/,
    ],
    [{ argv: ["--data-dir"] }, /--data-dir: needs a value/],
    [
      { env: { OCELLI_CAMERAS: '[{"url":"rtsp://h/a","number":100},{"url":"rtsp://h/b","number":100}]' } },
      /cameras\.1\.number: 100 is given to another camera/,
    ],
    [{ env: { OCELLI_ANONYMOUS_NETWORKS: "10.0.0.0/33" } }, /anonymous\.networks\.0: .*10\.0\.0\.0\/33/],
    [{ env: { OCELLI_VIRTUAL_SIZE: "161x121" } }, /virtual\.size: .*161x121/],
    [{ argv: ["--config", "/nonexistent.yaml"] }, /nonexistent\.yaml/],
  ])("refuses %j and says why", (sources, message) => {
    expect(refusal(sources as Partial<ConfigSources>)).toMatch(message);
  });

  it("names every wrong key of a file", () => {
    const file = yaml("recordng: 1\nrecording:\n  segmentSecond: 5\n  sync: never\nstorage: 3\n");
    const message = refusal({ argv: ["--config", file] });
    expect(message).toMatch(/recordng: no such setting; did you mean recording\?/);
    expect(message).toMatch(/recording\.segmentSecond: no such setting; did you mean segmentSeconds\?/);
    expect(message).toMatch(/recording\.sync: "never" is not allowed/);
    expect(message).toMatch(/storage/);
  });

  it("never repeats a secret", () => {
    expect(refusal({ env: { OCELLI_ADMIN_KEY: "short-secret" } })).not.toContain("short-secret");
    expect(refusal({ env: { OCELLI_CAMERAS: '[{"url":"rtsp://u:pw@h/","x":1}]' } })).not.toContain("pw");
  });

  it("never repeats a line of a file that is no YAML", () => {
    const message = refusal({ argv: ["--config", yaml("logLevel: info\nadminKey: [very-secret\nx: }\n")] });
    expect(message).toMatch(/line \d/);
    expect(message).not.toContain("very-secret");
  });

  it("documents every setting", () => {
    const help = settingsHelp();
    for (const setting of settings) {
      expect(setting.description.length, setting.key).toBeGreaterThan(8);
      expect(help).toContain(setting.env);
    }
  });
});
