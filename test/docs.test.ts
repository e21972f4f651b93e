import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect, it } from "vitest";
import { root } from "./harness/hub.ts";

const run = promisify(execFile);

it("docs/api.md and docs/configuration.* tell the methods, errors and settings as they are", async () => {
  const node = join(root, "node_modules/.bin/node");
  const args = ["--conditions=source", join(root, "scripts/docs.mjs"), "--check"];
  // What it prints says what to do: run npm run docs, or describe what was added.
  const complaints = await run(node, args).then(
    () => "",
    (error: { stderr?: string }) => error.stderr ?? String(error),
  );
  expect(complaints).toBe("");
});
