import { spawn } from "node:child_process";
import { once } from "node:events";
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { afterAll, beforeAll, expect, it } from "vitest";
import { root } from "../harness/hub.ts";

// What stands in the README: `npm start`, and what becomes of the hub when npm is told to end. The script is run in a
// folder of its own, where nothing is installed or built: other tests use what is there.

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "ocelli-npm-"));
  mkdirSync(join(folder, "scripts"));
  for (const file of ["package.json", "scripts/start.mjs"])
    copyFileSync(join(root, file), join(folder, file));
  const prepare = pathToFileURL(join(root, "scripts/prepare.mjs")).href;
  const nothing = ["checkNode", "installPackages", "installFfmpeg", "build"].map(
    (name) => `${name} = () => {}`,
  );
  writeFileSync(
    join(folder, "scripts/prepare.mjs"),
    `export { hubNodeOptions, node, root } from ${JSON.stringify(prepare)};\nexport const ${nothing.join(", ")};\n`,
  );
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

it("npm start runs the hub, hands its flags on, and takes the hub along when it is told to stop", async () => {
  const flags = ["--listen", "127.0.0.1:0", "--data-dir", join(folder, "data"), "--devices-v4l2", "false"];
  const npm = spawn("npm", ["start", "--", ...flags], { cwd: folder, stdio: ["ignore", "pipe", "inherit"] });
  let output = "";
  const ready = new Promise<void>((resolve, reject) => {
    npm.stdout.setEncoding("utf8").on("data", (text: string) => {
      output += text;
      if (output.includes("Ready.")) resolve();
    });
    npm.once("close", () => reject(new Error(`npm start ended:\n${output}`)));
  });
  await ready;
  expect(output).toContain(join(folder, "data"));
  npm.kill("SIGTERM");
  // Its output only ends when the hub, which has it too, is gone.
  await once(npm, "close");
  expect(output).toContain("SIGTERM: stopping");
});
