import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";

const bin = fileURLToPath(new URL("../bin/ocelli.js", import.meta.url));

function versionAsked(node: string): { status: number | null; stdout: string; stderr: string } {
  const pretend = `Object.defineProperty(process, "versions", { value: { ...process.versions, node: "${node}" } })`;
  const args = ["--import", `data:text/javascript,${encodeURIComponent(pretend)}`, bin, "--version"];
  return spawnSync(process.execPath, args, { encoding: "utf8" });
}

it("says that Node is too old, before it loads what an old one cannot read", () => {
  for (const old of ["20.20.2", "22.12.0"]) {
    const { status, stderr } = versionAsked(old);
    expect(status).toBe(1);
    expect(stderr).toMatch(/^ocelli: Node\.js 22\.13 or newer is needed/);
  }
  for (const known of ["22.13.0", "24.0.0"]) {
    expect(versionAsked(known)).toMatchObject({
      status: 0,
      stderr: "",
      stdout: expect.stringMatching(/^\d+\./),
    });
  }
});
