/** `ocelli doctor`: needs no hub, looks at this machine. */
import { OcelliError } from "@ocelli/protocol";
import type { Command } from "commander";
import type { Io } from "../io.ts";
import type { GlobalOptions } from "../target.ts";

/** What the doctor of the server package finds; see there. */
interface Finding {
  readonly check: string;
  readonly status: "ok" | "warning" | "problem";
  readonly message: string;
  readonly fix?: string;
}

interface Report {
  readonly version: string;
  readonly user: string;
  readonly ok: boolean;
  readonly findings: readonly Finding[];
}

export type Doctor = (options: {
  readonly env: Io["env"];
  readonly argv: readonly string[];
}) => Promise<Report>;

interface Options extends GlobalOptions {
  readonly config?: string;
}

/** @param load the doctor of the server package, loaded only when it is asked for: that takes long */
export function addDoctor(program: Command, io: Io, load: () => Promise<Doctor>): void {
  program
    .command("doctor")
    .description(
      "look for what keeps a hub on this machine from working: ffmpeg, cameras, ports, clock, disk, USB",
    )
    .option("--config <file>", "settings of the hub (environment: OCELLI_CONFIG)")
    .addHelpText("after", "\nExit code 1 when there is a problem. Run it as the user of the hub.")
    .action(async (_options, command: Command) => {
      const options: Options = command.optsWithGlobals();
      const argv = [
        ...(options.config === undefined ? [] : ["--config", options.config]),
        ...(options.dataDir === undefined ? [] : ["--data-dir", options.dataDir]),
      ];
      const examine = await load();
      const report = await examine({ env: io.env, argv });
      io.out(options.json === true ? `${JSON.stringify(report, null, 2)}\n` : textOf(report));
      if (report.ok) return;
      const problems = report.findings.filter((finding) => finding.status === "problem");
      const checks = problems.map((finding) => finding.check).join(", ");
      throw new OcelliError("unsupported", `A hub cannot do its work here: ${checks}.`);
    });
}

const marks = { ok: "ok      ", warning: "WARNING ", problem: "PROBLEM " } as const;

function textOf({ version, user, findings }: Report): string {
  const width = Math.max(...findings.map((finding) => finding.check.length));
  const indent = " ".repeat(marks.ok.length + width + 2);
  const lines = findings.flatMap(({ check, status, message, fix }) => [
    `${marks[status]}${check.padEnd(width)}  ${message.replaceAll("\n", `\n${indent}`)}`,
    ...(fix === undefined ? [] : [`${indent}-> ${fix}`]),
  ]);
  return `Ocelli ${version} on this machine, as the user ${user}\n${lines.join("\n")}\n`;
}
