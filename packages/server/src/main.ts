import { writeFileSync } from "node:fs";
import { networkInterfaces } from "node:os";
import { join, resolve } from "node:path";
import { isatty } from "node:tty";
import { codeOf, messageOf } from "@ocelli/protocol";
import type { BoundAddress } from "./api/listener.ts";
import { SystemClock } from "./clock/system-clock.ts";
import { settingsHelp } from "./config/help.ts";
import { loadConfig } from "./config/load.ts";
import type { Config } from "./config/schema.ts";
import type { CameraView } from "./events/catalogue.ts";
import { Hub } from "./hub.ts";
import { createLogger, type LoggerOptions } from "./log/logger.ts";
import { secretsInUrls } from "./log/mask.ts";
import { version } from "./version.ts";

/**
 * The command line of the hub: what is read, what is printed, signals and exit codes.
 * Exit codes: 0 stopped cleanly, 1 could not start or stop, 2 wrong configuration, 130 forced.
 */

/** A terminal and npm may both deliver one Ctrl-C; a second one counts only after this long. */
const sameSignalMs = 500;

export async function main(argv: readonly string[]): Promise<number> {
  if (argv.includes("--help") || argv.includes("-h")) {
    process.stdout.write(`Usage: npm start -- [flags], or ocelli serve [flags]\n\n${settingsHelp()}\n`);
    return 0;
  }
  if (argv.includes("--version")) {
    process.stdout.write(`${version}\n`);
    return 0;
  }
  try {
    return await serve(argv);
  } catch (error) {
    process.stderr.write(`Ocelli cannot start: ${messageOf(error)}\n`);
    return codeOf(error) === "config_invalid" ? 2 : 1;
  }
}

async function serve(argv: readonly string[]): Promise<number> {
  const { config, origin } = loadConfig({ env: process.env, argv, defaultFile: "ocelli.yaml" });
  const clock = new SystemClock();
  const logger = createLogger({
    level: config.logLevel,
    terminal: process.stderr.isTTY === true,
    secrets: secretsIn(config),
    ...logFileOf(config, clock),
  });
  const { log } = logger;
  // A terminal that has been closed takes no more words; the hub then stops in good order all the same.
  for (const stream of [process.stdout, process.stderr]) stream.on("error", () => undefined);
  const stopping = new AbortController();
  // A second Ctrl-C ends a start or a stop that hangs, whatever it waits for.
  let reload = (): void => undefined;
  const forced = watchSignals(stopping, () => reload()).then(() => 130);

  const dataDir = resolve(config.dataDir);
  const keyLines: string[] = [];
  const hub = new Hub({
    config,
    listenIsExplicit: origin.has("listen"),
    origin,
    log,
    announceKey: (key) => keyLines.push(...handOver(key, dataDir)),
  });
  reload = () => hub.reload();
  const show = (started: Started): void => print(started, dataDir, keyLines);
  try {
    return await Promise.race([run(hub, show, stopping.signal), forced]);
  } finally {
    // A disk that does not answer must not keep the process.
    await Promise.race([logger.close(), clock.sleep(2000)]);
    clock.close();
  }
}

function logFileOf({ log }: Config, clock: SystemClock): Pick<LoggerOptions, "file"> {
  if (log.folder === undefined) return {};
  const { fileDays: days, keepFiles } = log;
  const maxBytes = Math.round(log.fileMegabytes * 2 ** 20);
  const after = clock.after.bind(clock);
  return { file: { folder: resolve(log.folder), maxBytes, days, keepFiles, after } };
}

/** Told to the hub by its configuration, and never to be read in a log. */
function secretsIn({ adminKey, cameras, webhooks }: Config): string[] {
  return [
    ...(adminKey === undefined ? [] : [adminKey]),
    ...webhooks.map(({ secret }) => secret),
    ...secretsInUrls(cameras.map(({ url }) => url)),
  ];
}

async function run(hub: Hub, show: (started: Started) => void, stopping: AbortSignal): Promise<number> {
  try {
    show(await hub.start(stopping));
    if (!stopping.aborted) {
      await new Promise<void>((done) => stopping.addEventListener("abort", () => done(), { once: true }));
    }
  } catch (error) {
    const closed = await hub.close();
    if (stopping.aborted) return exitCodes[closed];
    throw error;
  }
  return exitCodes[await hub.close()];
}

const exitCodes = { closed: 0, timeout: 1 } as const;

/**
 * Settles with the second signal; the first aborts `stopping`. SIGHUP means that the terminal has been closed, and
 * stops too; while the terminal is there, or where there is none, it asks for a reload.
 */
function watchSignals(stopping: AbortController, reload: () => void): Promise<void> {
  const terminals = [0, 1, 2].filter((fd) => isatty(fd));
  return new Promise((force) => {
    let firstAt: number | undefined;
    const onSignal = (signal: NodeJS.Signals): void => {
      if (signal === "SIGHUP" && terminals.every((fd) => isatty(fd))) {
        reload();
        return;
      }
      const now = process.uptime() * 1000;
      if (firstAt === undefined) {
        firstAt = now;
        process.stdout.write(`\n${signal}: stopping, recordings are being finished (again to force) ...\n`);
        stopping.abort(new Error(signal));
      } else if (now - firstAt > sameSignalMs) {
        force();
      }
    };
    for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, onSignal);
  });
}

interface Started {
  readonly addresses: readonly BoundAddress[];
  readonly cameras: readonly CameraView[];
}

function print({ addresses, cameras }: Started, dataDir: string, keyLines: readonly string[]): void {
  const lines = [`Ocelli ${version}`];
  for (const url of addresses.flatMap(urlsOf)) lines.push(`  Address   ${url}`);
  lines.push(`  Data      ${dataDir}`);
  if (cameras.length === 0) lines.push("  Cameras   none yet; plug one in, it appears by itself");
  for (const camera of cameras) lines.push(`  Camera    ${describeCamera(camera)}`);
  lines.push(...keyLines);
  lines.push("  Ready. Ctrl-C stops.");
  process.stdout.write(`${lines.join("\n")}\n`);
}

/** On a terminal the key is printed; otherwise it is written to a file only the owner can read. */
function handOver(key: string, dataDir: string): string[] {
  if (process.stdout.isTTY) return [`  Admin key ${key}`, "            (shown only this once; keep it)"];
  const file = join(dataDir, "admin-key");
  writeFileSync(file, `${key}\n`, { mode: 0o600 });
  return [`  Admin key written to ${file}`];
}

function urlsOf({ host, port, secure }: BoundAddress): string[] {
  const url = (name: string): string => `${secure ? "https" : "http"}://${name}:${port}/`;
  if (host !== "0.0.0.0" && host !== "::") return [url(host.includes(":") ? `[${host}]` : host)];
  const outside = Object.values(networkInterfaces())
    .flatMap((entries) => entries ?? [])
    .filter((entry) => entry.family === "IPv4" && !entry.internal)
    .map((entry) => url(entry.address));
  return [url("127.0.0.1"), ...outside];
}

function describeCamera(camera: CameraView): string {
  // The rate of a network stream nobody has looked at yet is not known.
  const rate = camera.mode?.fps ? ` ${camera.mode.fps} fps` : "";
  const mode = camera.mode && `${camera.mode.width}x${camera.mode.height}${rate} ${camera.mode.format}`;
  const status =
    camera.status === "CONNECTED"
      ? undefined
      : `${camera.status}${camera.reason ? `: ${camera.reason}` : ""}`;
  return [camera.id, camera.name, camera.node, mode, status].filter((part) => part !== undefined).join("  ");
}

if (import.meta.main) process.exit(await main(process.argv.slice(2)));
