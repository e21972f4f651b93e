import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";
import { connectionsWithin, openFilesLimit } from "./open-files.ts";

it("reads the limit the process really has", () => {
  const module = fileURLToPath(new URL("./open-files.ts", import.meta.url));
  const program = `import("${module}").then(({ openFilesLimit }) => console.log(openFilesLimit()))`;
  for (const limit of [300, 1024]) {
    const { stdout } = spawnSync(
      "sh",
      ["-c", `ulimit -n ${limit} && exec "$0" -e '${program}'`, process.execPath],
      { encoding: "utf8" },
    );
    expect(Number(stdout)).toBe(limit);
  }
});

it("knows no limit where the system does not tell", () => {
  expect(openFilesLimit("/nonexistent")).toBeUndefined();
  expect(openFilesLimit("/proc/self/status")).toBeUndefined();
  expect(connectionsWithin(undefined, 20_000)).toBe(20_000);
});

it("keeps files for the work of the hub", () => {
  expect(connectionsWithin(65_536, 20_000)).toBe(20_000);
  expect(connectionsWithin(20_000, 20_000)).toBe(19_488);
  expect(connectionsWithin(1024, 20_000)).toBe(512);
  expect(connectionsWithin(256, 20_000)).toBe(128);
  expect(connectionsWithin(65_536, 10)).toBe(10);
});
