import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Command } from "commander";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { runDoctor } from "../../../server/src/doctor/doctor.ts";
import { keptIo } from "../testing/io.ts";
import { addDoctor } from "./doctor.ts";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "ocelli-cli-doctor-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

async function doctor(line: string, env: Record<string, string> = {}) {
  const program = new Command("ocelli").option("--json").option("--data-dir <folder>").exitOverride();
  const io = keptIo({ env: { OCELLI_LISTEN: "127.0.0.1:0", OCELLI_STORAGE_LOW_MEGABYTES: "0", ...env } });
  addDoctor(program, io, async () => runDoctor);
  const failure = await program.parseAsync(line.split(" "), { from: "user" }).then(
    () => undefined,
    (error: unknown) => error,
  );
  return { out: io.text.out, failure };
}

describe("ocelli doctor", () => {
  it("prints what it found, in words", async () => {
    const { out, failure } = await doctor(`--data-dir ${folder}/data doctor`);
    expect(failure).toBeUndefined();
    expect(out).toMatch(/^Ocelli \S+ on this machine, as the user \S+\nok +settings/);
    expect(out).toContain(`${folder}/data does not exist yet`);
    expect(out).toMatch(/\nok +ffmpeg +ffmpeg \d/);
  });

  it("prints JSON, and fails when there is a problem", async () => {
    writeFileSync(join(folder, "file"), "");
    const { out, failure } = await doctor("--json doctor", { OCELLI_DATA_DIR: join(folder, "file") });
    expect(JSON.parse(out)).toMatchObject({ ok: false });
    expect(failure).toMatchObject({ message: "A hub cannot do its work here: data folder." });
  });

  it("says how to mend it, below what is wrong", async () => {
    const { out } = await doctor("doctor", { OCELLI_CONFIG: join(folder, "absent.yaml") });
    expect(out).toMatch(/^PROBLEM settings .*\n(?: {10}.*\n)* {10,}-> Correct what is named above/m);
  });

  it("reads the settings file it is given", async () => {
    writeFileSync(join(folder, "hub.yaml"), `dataDir: ${folder}/elsewhere\n`);
    const { out } = await doctor(`doctor --config ${folder}/hub.yaml`);
    expect(out).toContain(`${folder}/elsewhere does not exist yet`);
  });
});
