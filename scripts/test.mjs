// `npm test`: sets up, builds, and runs every suite; prints one closing line for all of them.
// Suites: check (types, lint, floors), unit and integration (vitest), v4l2 (real kernel drivers in a VM).
// `npm test -- unit` runs one of them.
import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  build,
  checkNode,
  installFfmpeg,
  installPackages,
  installTestTools,
  node,
  root,
} from "./prepare.mjs";

const bin = (name) => join(root, "node_modules", ".bin", name);

function run(command, args) {
  return new Promise((resolve) => {
    const env = { ...process.env, PATH: `${join(root, "node_modules", ".bin")}:${process.env.PATH}` };
    const child = spawn(command, args, { cwd: root, stdio: ["ignore", "inherit", "inherit"], env });
    child.on("error", () => resolve(127));
    child.on("exit", (code) => resolve(code ?? 1));
  });
}

async function check() {
  const steps = [
    ["types", bin("tsc"), ["-p", "tsconfig.check.json"]],
    ["lint and format", bin("biome"), ["check", "--error-on-warnings"]],
  ];
  const total = { passed: 0, failed: 0, skipped: 0 };
  for (const [name, command, args] of steps) {
    const ok = (await run(command, args)) === 0;
    console.log(`${ok ? "ok  " : "FAIL"} ${name}`);
    total[ok ? "passed" : "failed"]++;
  }
  return total;
}

async function unit() {
  const folder = mkdtempSync(join(tmpdir(), "ocelli-test-"));
  const report = join(folder, "report.json");
  try {
    const code = await run(bin("vitest"), [
      "run",
      "--reporter=default",
      "--reporter=json",
      `--outputFile.json=${report}`,
    ]);
    const { numPassedTests, numFailedTests, numPendingTests, numFailedTestSuites } = JSON.parse(
      readFileSync(report, "utf8"),
    );
    // A file that cannot even be loaded fails without a failed test; an unhandled error only shows in the exit code.
    const failed = Math.max(numFailedTests, numFailedTestSuites > 0 || code !== 0 ? 1 : 0);
    return { passed: numPassedTests, failed, skipped: numPendingTests };
  } catch (error) {
    console.log(`the test runner gave no report: ${error.message}`);
    return { passed: 0, failed: 1, skipped: 0 };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** A suite that is a script of its own, whose last line counts. What it prints is shown at once: some take minutes. */
const script = (path) => async () => {
  const child = spawn(node, [join(root, path)], { cwd: root, stdio: ["ignore", "pipe", "inherit"] });
  let output = "";
  child.stdout.setEncoding("utf8").on("data", (text) => {
    process.stdout.write(text);
    output += text;
  });
  await new Promise((resolve) => child.on("error", resolve).on("close", resolve));
  const line = output.trim().split("\n").at(-1) ?? "";
  const counts = /^(\d+) passed, (\d+) failed(?:, (\d+) skipped)?$/.exec(line);
  if (counts === null) return { passed: 0, failed: 1, skipped: 0 };
  return { passed: Number(counts[1]), failed: Number(counts[2]), skipped: Number(counts[3] ?? 0) };
};

const suites = { check, unit, v4l2: script("test/v4l2/run.mjs"), deploy: script("test/deploy/run.mjs") };
/** The deployment test makes whole Debian systems and takes some minutes: only when asked for. */
const usual = Object.keys(suites).filter((name) => name !== "deploy");
const wanted = process.argv.slice(2);
const unknown = wanted.filter((name) => !(name in suites));
if (unknown.length > 0) {
  console.error(`No such suite: ${unknown.join(", ")}. There are: ${Object.keys(suites).join(", ")}.`);
  process.exit(2);
}

checkNode();
installPackages();
installFfmpeg();
build();
const missing = installTestTools();
for (const text of missing) console.log(`skipped: ${text}`);

const total = { passed: 0, failed: 0, skipped: missing.length };
for (const name of wanted.length > 0 ? wanted : usual) {
  const counts = await suites[name]();
  for (const key of Object.keys(total)) total[key] += counts[key];
}
if (process.env.CI === "true" && total.skipped > 0) {
  console.log(`CI is true, so the ${total.skipped} skipped count as failed`);
  total.failed += total.skipped;
  total.skipped = 0;
}
console.log(
  `${total.passed} passed, ${total.failed} failed${total.skipped > 0 ? `, ${total.skipped} skipped` : ""}`,
);
process.exitCode = total.failed > 0 ? 1 : 0;
