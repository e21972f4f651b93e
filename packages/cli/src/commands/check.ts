/** `ocelli check`: does a server do what clients of this service rely on? */

import { OcelliError } from "@ocelli/protocol";
import type { Command } from "commander";
import { allChecks, type Bench, type Outcome, simpleChecks } from "../check/checks.ts";
import { statusProbe } from "../check/http.ts";
import { type Following, followingHub, outputOf, targetFor } from "../context.ts";
import { CommandError } from "../exit-codes.ts";
import type { Io } from "../io.ts";
import { connect } from "../target.ts";
import { durationOf } from "../times.ts";
import { countText, harmless, pictureText, timeText } from "../words.ts";

interface Options {
  readonly simple?: true;
  readonly monitor?: true;
  readonly duration: string;
  readonly maxPing?: string;
}

const usualMaxPingMs = 50;

export function addCheck(program: Command, io: Io): void {
  program
    .command("check")
    .description("test a server: protocol, errors, credential, cameras, notifications; changes nothing")
    .option("--simple", "only connect and ping")
    .option("--monitor", "tell what cameras do for a while instead; plug one in or out meanwhile")
    .option("--duration <time>", "how long --monitor goes on: 30, 90s, 2m", "30")
    .option(
      "--max-ping <ms>",
      `fail when a ping takes longer; over ${usualMaxPingMs} ms is only remarked on otherwise`,
    )
    .addHelpText("after", "\nExit code 1 when a check fails.")
    .action((options: Options, command: Command) => {
      if (options.simple && options.monitor) {
        throw new OcelliError("invalid_params", "--simple and --monitor are two different things to do.");
      }
      return options.monitor
        ? followingHub(command, io, (following) => monitor(options, following))
        : check(options, command, io);
    });
}

async function check(options: Options, command: Command, io: Io): Promise<void> {
  const { print, json, style } = outputOf(command, io);
  const target = targetFor(command, io);
  const bench: Bench = {
    target,
    signal: io.signal,
    maxPingMs: options.maxPing === undefined ? usualMaxPingMs : milliseconds(options.maxPing),
    isStrict: options.maxPing !== undefined,
    fetch: statusProbe(target, io.signal),
    cameras: [],
    isAllowed: false,
  };
  // A server that is not there is another failure than one that does not do what it should.
  const first = await connect({ ...target, key: undefined }, io.signal);
  await first.close();
  const checks = options.simple ? simpleChecks : allChecks;
  const width = Math.max(...checks.map(({ name }) => name.length));
  const paint = { pass: style.good, warn: style.warn, fail: style.bad, skip: style.dim };
  const results: ({ readonly check: string } & Outcome)[] = [];
  for (const { name, run } of checks) {
    const outcome = await run(bench).catch(
      (error: unknown): Outcome => ({
        verdict: "fail",
        detail: error instanceof Error ? error.message : String(error),
      }),
    );
    io.signal.throwIfAborted();
    results.push({ check: name, ...outcome });
    const mark = paint[outcome.verdict](outcome.verdict.toUpperCase());
    if (!json) io.out(`${mark}  ${name.padEnd(width)}  ${harmless(outcome.detail)}\n`);
  }
  const count = (verdict: Outcome["verdict"]): number =>
    results.filter((one) => one.verdict === verdict).length;
  const failed = results.filter(({ verdict }) => verdict === "fail").map((one) => one.check);
  print({ ok: failed.length === 0, url: target.baseUrl, results }, () =>
    [
      `${count("pass")} passed`,
      `${failed.length} failed`,
      ...(count("warn") > 0 ? [countText(count("warn"), "warning")] : []),
      ...(count("skip") > 0 ? [`${count("skip")} skipped`] : []),
    ]
      .join(", ")
      .concat("\n"),
  );
  if (failed.length > 0) {
    throw new CommandError("check_failed", `${target.baseUrl} does not pass: ${failed.join(", ")}.`);
  }
}

async function monitor({ duration }: Options, following: Following): Promise<void> {
  const { client, io, note, printLine, style } = following;
  const seconds = durationOf(duration) ?? 0;
  const ended = Promise.withResolvers<void>();
  let count = 0;
  client.on("camera_status_update", (update) => {
    count++;
    printLine(update, () => {
      const picture = pictureText(update.resolution, update.fps);
      const time = style.dim(timeText(update.timestamp ?? new Date().toISOString()));
      const what = `${update.device} -> ${update.status}${picture && `  ${picture}`}  (${update.event ?? "change"})`;
      return `${time}  ${harmless(what)}\n`;
    });
  });
  client.on("connectionLost", () => note("Connection lost; connecting again …"));
  client.on("reconnectFailed", ({ error }) => ended.reject(error));
  const interrupted = (): void => ended.resolve();
  io.signal.addEventListener("abort", interrupted);
  await client.connect({ signal: io.signal });
  note(`Telling what cameras do for ${seconds} s. Plug one in or out to see it.`);
  // A connection that has called something is not told by itself what there is.
  const { cameras } = await client.call("get_camera_list");
  note(`Now: ${cameras.map(({ device, status }) => `${device} ${status}`).join(", ") || "no cameras"}`);
  const timer = setTimeout(ended.resolve, seconds * 1000);
  try {
    await ended.promise;
  } finally {
    clearTimeout(timer);
    io.signal.removeEventListener("abort", interrupted);
  }
  note(`${countText(count, "notification")} in all.`);
}

function milliseconds(text: string): number {
  const value = Number(text);
  if (text.trim() !== "" && Number.isFinite(value) && value > 0) return value;
  throw new OcelliError("invalid_params", `--max-ping must be milliseconds, not "${text}".`);
}
