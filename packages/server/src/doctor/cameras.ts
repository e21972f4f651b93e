/** May this user open the cameras, do their drivers answer, and who else has them open? */
import { readdirSync, readFileSync, readlinkSync, type Stats, statSync } from "node:fs";
import { join } from "node:path";
import type { NodeAnswer } from "../devices/v4l2/ask-node.ts";
import { nodeProblem } from "../devices/v4l2/node-problem.ts";
import { NodeQueries } from "../devices/v4l2/query.ts";
import { mayCapture, readIdentity } from "../devices/v4l2/sysfs.ts";
import { type CheckContext, type Finding, ok, problem, warning } from "./finding.ts";
import { checkUsb } from "./usb.ts";
import { userName } from "./user.ts";

export interface CameraFolders {
  /** Defaults `/dev`, `/sys`, `/run/udev`, `/proc`, `/etc/group`. */
  readonly dev?: string;
  readonly sys?: string;
  readonly udev?: string;
  readonly proc?: string;
  readonly groupFile?: string;
  /** For tests: asks a node what it is. */
  readonly ask?: (node: string) => Promise<NodeAnswer>;
}

export async function checkCameras(
  context: Pick<CheckContext, "config" | "clock" | "hubPid">,
  folders: CameraFolders = {},
): Promise<Finding[]> {
  if (!context.config.devices.v4l2) return [ok("cameras", "USB cameras are switched off (devices.v4l2)")];
  const dev = folders.dev ?? "/dev";
  const names = readdirSync(dev)
    .filter((name) => /^video\d+$/.test(name))
    .sort((a, b) => Number(a.slice(5)) - Number(b.slice(5)));
  if (names.length === 0) return [noNodes(folders)];
  const queries = new NodeQueries({ clock: context.clock });
  try {
    const ask = folders.ask ?? ((node) => queries.ask(node));
    const checked = await Promise.all(names.map((name) => checkNode(name, ask, context, folders)));
    const capturing = names.filter((_, index) => checked[index] !== undefined);
    const findings = checked.filter((finding) => finding !== undefined);
    if (findings.length === 0) {
      findings.push(
        ok("cameras", `None of the ${names.length} video nodes captures pictures; there is no USB camera`),
      );
    }
    return [...findings, ...checkUsb(capturing, folders.sys)];
  } finally {
    await queries.close();
  }
}

/** `undefined` for a node that is no camera. */
async function checkNode(
  name: string,
  ask: (node: string) => Promise<NodeAnswer>,
  { hubPid }: Pick<CheckContext, "hubPid">,
  folders: CameraFolders,
): Promise<Finding | undefined> {
  const node = join(folders.dev ?? "/dev", name);
  const check = `camera ${node}`;
  let stats: Stats;
  try {
    stats = statSync(node);
  } catch {
    return undefined;
  }
  const identity = readIdentity(folders.sys ?? "/sys", name);
  const answer = await ask(node);
  if (answer.kind === "other") return undefined;
  if (answer.kind === "failed") {
    if (!mayCapture(folders.udev ?? "/run/udev", stats.rdev, identity)) return undefined;
    const { code, message } = nodeProblem(node, answer.errno, answer.operation, stats, folders.groupFile);
    return problem(check, message, fixOf(code), { code, errno: answer.errno, operation: answer.operation });
  }
  const { formats, driver, busInfo } = answer.capabilities;
  const names = formats.map((format) => format.fourcc);
  const holders = holdersOf(node, folders.proc ?? "/proc", hubPid);
  const details = { driver, busInfo, formats: names, holders };
  if (holders.length > 0) {
    const by = holders.map(({ pid, command }) => `process ${pid} (${command})`).join(", ");
    return warning(
      check,
      `${identity.name}: in use by ${by}, so the hub may not be able to capture from it.`,
      "Close that program.",
      details,
    );
  }
  if (names.length === 0) {
    return warning(
      check,
      `${identity.name} offers no format.`,
      "It may be a part of a camera that another program has to set up, or it waits for a producer (v4l2loopback).",
      details,
    );
  }
  return ok(check, `${identity.name} (${[...new Set(names)].join(", ")})`, details);
}

function fixOf(code: string): string {
  if (code === "permission_denied") {
    return "The service of deploy/install.sh is in the right group already; in a container give it the host's group with --group-add.";
  }
  return "See also the kernel's messages: sudo dmesg | grep -iE 'uvc|video|usb' | tail.";
}

function noNodes({ groupFile = "/etc/group" }: CameraFolders): Finding {
  const none = "No USB camera is plugged in (no /dev/video*)";
  const video = groupNumber("video", groupFile);
  const groups = process.getgroups?.() ?? [];
  if (process.getuid?.() === 0 || video === undefined || groups.includes(video)) return ok("cameras", none);
  return warning(
    "cameras",
    `${none}, and the user ${userName()} is not in the group video, which may open them.`,
    `Run: sudo usermod -aG video ${userName()}; then log in again or restart the service.`,
  );
}

function groupNumber(name: string, groupFile: string): number | undefined {
  try {
    const line = readFileSync(groupFile, "utf8")
      .split("\n")
      .find((one) => one.startsWith(`${name}:`));
    return line === undefined ? undefined : Number(line.split(":")[2]);
  } catch {
    return undefined;
  }
}

interface Holder {
  readonly pid: number;
  readonly command: string;
}

/** Who has the node open, as far as this user may see; neither this process, nor the hub, nor what the hub started. */
function holdersOf(node: string, proc: string, hubPid: number | undefined): Holder[] {
  return list(proc)
    .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
    .filter((pid) =>
      list(`${proc}/${pid}/fd`).some((fd) => {
        try {
          return readlinkSync(`${proc}/${pid}/fd/${fd}`) === node;
        } catch {
          return false;
        }
      }),
    )
    .filter((pid) => hubPid === undefined || (Number(pid) !== hubPid && parentOf(pid, proc) !== hubPid))
    .map((pid) => ({ pid: Number(pid), command: readText(`${proc}/${pid}/comm`).trim() }));
}

function parentOf(pid: string, proc: string): number {
  return Number(/^PPid:\s+(\d+)/m.exec(readText(`${proc}/${pid}/status`))?.[1]);
}

function list(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

function readText(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}
