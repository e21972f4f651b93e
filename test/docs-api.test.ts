import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { expect, it } from "vitest";
import { root } from "./harness/hub.ts";

it("docs/api.md tells the methods and errors as they are", () => {
  const node = join(root, "node_modules/.bin/node");
  const run = () => execFileSync(node, [join(root, "scripts/docs-api.mjs"), "--check"], { stdio: "pipe" });
  expect(run).not.toThrow();
});
