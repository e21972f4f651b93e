import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { effectiveSettings } from "./effective.ts";
import { loadConfig } from "./load.ts";
import { settings } from "./settings.ts";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "ocelli-effective-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

function effective(env: Record<string, string>, argv: string[] = [], yaml?: string) {
  const file = join(folder, "ocelli.yaml");
  if (yaml !== undefined) writeFileSync(file, yaml);
  const { config, origin } = loadConfig({ env, argv, ...(yaml === undefined ? {} : { defaultFile: file }) });
  const all = effectiveSettings(config, origin);
  return {
    all,
    of: (key: string) => {
      const found = all.find(({ setting }) => setting.key === key);
      return found && { value: found.value, source: found.source, origin: found.origin };
    },
    file,
  };
}

describe("the configuration in force", () => {
  it("tells each setting once, with its default where nobody set it", () => {
    const { all, of } = effective({});
    expect(all.map(({ setting }) => setting.key)).toEqual(settings.map(({ key }) => key));
    expect(of("recording.codec")).toEqual({ value: "copy", source: "default", origin: undefined });
    expect(of("adminKey")).toEqual({ value: undefined, source: "default", origin: undefined });
  });

  it("tells where a value came from: the last that set it", () => {
    const { of, file } = effective(
      { OCELLI_CAPTURE_LINGER_SECONDS: "7", OCELLI_LOG_LEVEL: "warn" },
      ["--log-level", "debug"],
      "capture: { lingerSeconds: 5, stallSeconds: 4 }\n",
    );
    expect(of("capture.stallSeconds")).toEqual({ value: 4, source: "file", origin: file });
    expect(of("capture.lingerSeconds")).toMatchObject({ value: 7, source: "environment" });
    expect(of("logLevel")).toEqual({ value: "debug", source: "flag", origin: "--log-level" });
  });

  it("tells no secret, and what is beside it", () => {
    const { all, of } = effective({
      OCELLI_ADMIN_KEY: "s3cret".repeat(8),
      OCELLI_CAMERAS: JSON.stringify([
        { url: "rtsp://admin:s3cret@h/a?channel=1&password=s3cret", name: "Door", number: 107 },
      ]),
      OCELLI_WEBHOOKS: JSON.stringify([
        { url: "https://h/x?token=s3cret", secret: "s3cret".repeat(4), events: ["recording.*"] },
      ]),
    });
    expect(JSON.stringify(all)).not.toContain("s3cret");
    expect(of("adminKey")).toMatchObject({ value: "***", origin: "OCELLI_ADMIN_KEY" });
    expect(of("cameras")?.value).toMatchObject([
      { url: "rtsp://***@h/a?channel=1&password=***", name: "Door", number: 107 },
    ]);
    expect(of("webhooks")?.value).toMatchObject([{ secret: "***", events: ["recording.*"] }]);
  });
});
