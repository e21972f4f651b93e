/**
 * `ocelli doctor`: looks at everything on this machine that keeps a hub from doing its work, and says how to mend it.
 * Works with and without a running hub, changes nothing, and never stops at the first thing it finds.
 */
import { OcelliError } from "@ocelli/protocol";
import { SystemClock } from "../clock/system-clock.ts";
import { loadConfig } from "../config/load.ts";
import { configSchema } from "../config/schema.ts";
import { version } from "../version.ts";
import { type CameraFolders, checkCameras } from "./cameras.ts";
import { checkCertificate } from "./certificate.ts";
import { checkClock } from "./clock-sync.ts";
import { checkDataFolder, lockHolder } from "./data-folder.ts";
import { type CheckContext, type Finding, ok, problem } from "./finding.ts";
import { checkPorts } from "./ports.ts";
import { checkFfmpeg, checkNode, type FfmpegPrograms } from "./programs.ts";
import { userName } from "./user.ts";

export interface DoctorOptions {
  /** As the hub would see it; default `process.env`. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** Flags of the hub, such as `--data-dir`; default none. */
  readonly argv?: readonly string[];
  readonly signal?: AbortSignal;
  /** For tests. */
  readonly programs?: FfmpegPrograms;
  readonly cameraFolders?: CameraFolders;
}

export interface DoctorReport {
  readonly version: string;
  readonly user: string;
  /** No finding is a problem. */
  readonly ok: boolean;
  readonly findings: readonly Finding[];
}

/** @throws the signal's reason when aborted; anything that is wrong with the machine is a finding */
export async function runDoctor(options: DoctorOptions = {}): Promise<DoctorReport> {
  const signal = options.signal ?? new AbortController().signal;
  const clock = new SystemClock();
  try {
    const { config, explicit, finding } = readSettings(options);
    const context: CheckContext = { config, clock, signal, hubPid: await lockHolder(config.dataDir) };
    // The speed of the disk is measured while nothing else is going on.
    const findings = [
      finding,
      checkNode(),
      ...(await checkFfmpeg(context, options.programs)),
      ...(await checkCameras(context, options.cameraFolders)),
      ...(await checkPorts(context, explicit)),
      ...checkCertificate(context),
      checkClock(),
      ...(await checkDataFolder(context)),
    ];
    signal.throwIfAborted();
    return { version, user: userName(), ok: findings.every((one) => one.status !== "problem"), findings };
  } finally {
    clock.close();
  }
}

function readSettings({ env = process.env, argv = [] }: DoctorOptions) {
  try {
    const { config, origin, file } = loadConfig({ env, argv, defaultFile: "ocelli.yaml" });
    const from = file === undefined ? "no file; defaults, environment and flags" : file;
    return { config, explicit: origin.has("listen"), finding: ok("settings", from, { file }) };
  } catch (error) {
    if (!(error instanceof OcelliError)) throw error;
    const fix =
      "Correct what is named above; `ocelli serve --help` lists every setting. The checks below assume the defaults.";
    return {
      config: configSchema.parse({}),
      explicit: false,
      finding: problem("settings", error.message, fix),
    };
  }
}
