/** `npm run bench`: runs the chosen sections one after the other. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { cpus, release, tmpdir, totalmem } from "node:os";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { machineBusy } from "./lib/processes.ts";
import { Report } from "./lib/report.ts";
import type { Section } from "./section.ts";
import { clients } from "./sections/clients.ts";
import { firstPicture } from "./sections/first-picture.ts";
import { hotplug } from "./sections/hotplug.ts";
import { idle } from "./sections/idle.ts";
import { latency } from "./sections/latency.ts";
import { library } from "./sections/library.ts";
import { multicam } from "./sections/multicam.ts";
import { recorder } from "./sections/recorder.ts";
import { recording } from "./sections/recording.ts";
import { rpc } from "./sections/rpc.ts";
import { snapshot } from "./sections/snapshot.ts";
import { startup } from "./sections/startup.ts";
import { sync } from "./sections/sync.ts";
import { syncGuest } from "./sections/sync-guest.ts";
import { viewers } from "./sections/viewers.ts";

const sections: readonly Section[] = [
  startup,
  idle,
  snapshot,
  firstPicture,
  latency,
  recording,
  recorder,
  viewers,
  hotplug,
  rpc,
  clients,
  library,
  sync,
  syncGuest,
  multicam,
];

const usage = `Usage: npm run bench -- [--quick] [--json FILE] [section ...]

${sections.map(({ name, about }) => `  ${name.padEnd(14)} ${about}`).join("\n")}`;

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      quick: { type: "boolean", default: false },
      json: { type: "string" },
      help: { type: "boolean", default: false },
    },
  });
  if (values.help) {
    console.log(usage);
    return 0;
  }
  const unknown = positionals.filter((name) => !sections.some((section) => section.name === name));
  if (unknown.length > 0) {
    console.error(`No such section: ${unknown.join(", ")}.\n\n${usage}`);
    return 2;
  }
  const wanted = sections.filter(({ name }) => positionals.length === 0 || positionals.includes(name));

  const report = new Report();
  const folder = mkdtempSync(join(tmpdir(), "ocelli-bench-"));
  process.once("SIGTERM", () => {
    rmSync(folder, { recursive: true, force: true });
    process.exit(143);
  });
  const machine = describeMachine();
  console.log(Object.values(machine).join(", "));
  let failed = 0;
  const startedAt = performance.now();
  try {
    for (const section of wanted) {
      report.begin(section.name, section.about);
      const busy = await machineBusy(1000);
      if (busy > 20)
        report.note(`others use ${busy.toFixed(0)} % of a core: figures will be worse than they are`);
      try {
        await section.run({ report, quick: values.quick, folder });
      } catch (error) {
        failed++;
        console.log(`  FAILED: ${error instanceof Error ? error.stack : String(error)}`);
      }
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  const { figures, notes, skipped } = report;
  const judged = figures.filter((figure) => figure.met !== undefined);
  const missed = judged.filter((figure) => figure.met === false);
  console.log(
    `\n${judged.length - missed.length} of ${judged.length} goals met, ${failed} sections failed, ${skipped.length} skipped, ${((performance.now() - startedAt) / 1000).toFixed(0)} s`,
  );
  if (values.json !== undefined) {
    const path = resolve(values.json);
    writeFileSync(
      path,
      `${JSON.stringify({ machine, quick: values.quick, figures, notes, skipped }, null, 2)}\n`,
    );
  }
  return failed > 0 ? 1 : 0;
}

function describeMachine() {
  const model = /^model name\s*: (.*)$/m.exec(readFileSync("/proc/cpuinfo", "utf8"))?.[1];
  return {
    cpu: `${cpus().length} cores${model === undefined ? "" : ` ${model}`}`,
    memory: `${(totalmem() / 2 ** 30).toFixed(0)} GiB`,
    kernel: `Linux ${release()}`,
    node: `Node ${process.version}`,
  };
}

// A section that failed may have left something running.
process.exit(await main());
