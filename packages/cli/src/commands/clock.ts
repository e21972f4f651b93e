/** `ocelli clock` */
import type { ResultOf } from "@ocelli/protocol/camera-service";
import type { Command } from "commander";
import { withHub } from "../context.ts";
import type { Io } from "../io.ts";
import { factLines, millisText, timeText } from "../words.ts";

export function addClock(program: Command, io: Io): void {
  program
    .command("clock")
    .description("how right the hub's clock is, and who says so")
    .action((_options, command: Command) =>
      withHub(command, io, async ({ connection, print }) => {
        const clock = await connection.call("get_clock_status");
        print(clock, () => clockText(clock));
      }),
    );
}

function clockText(clock: ResultOf<"get_clock_status">): string {
  const { synchronised, source, offset_ms, uncertainty_ms, servers, measured_at, reason } = clock;
  return factLines([
    ["Clock", synchronised ? `synchronised (${source})` : "not synchronised"],
    ["Offset", synchronised || offset_ms !== 0 ? offsetText(offset_ms) : undefined],
    ["Within", uncertainty_ms === null ? undefined : millisText(uncertainty_ms)],
    ["Servers", servers.length === 0 ? undefined : servers.join(", ")],
    ["Looked at", timeText(measured_at)],
    ["Why", reason ?? undefined],
  ]);
}

/** True time is the hub's and this. */
function offsetText(offsetMs: number): string {
  return `${millisText(Math.abs(offsetMs))} ${offsetMs < 0 ? "ahead of" : "behind"} true time`;
}
