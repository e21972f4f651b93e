/**
 * Discovery of V4L2 cameras: which nodes of `/dev` are cameras now. Reacts to each inotify event without waiting;
 * a node that cannot be opened yet is tried again with short back-off and reported as a problem only when that
 * lasts. A slow rescan catches what the events missed. Leaves lasting identity to `cameras/`.
 *
 * Invariants: one `found` and then one `lost` for each stay of a device on a node, in order; a node that was taken
 * away and made again is `lost` and `found`; nothing is reported twice.
 */
import { existsSync, readdirSync, statSync } from "node:fs";
import { constants } from "node:os";
import { join } from "node:path";
import type { Clock } from "../../clock/clock.ts";
import type { Log } from "../../log/log.ts";
import type { DeviceEvent, DeviceProvider } from "../device.ts";
import type { NodeAnswer } from "./ask-node.ts";
import { NodeControls } from "./node-controls.ts";
import { type NodeProblem, nodeProblem } from "./node-problem.ts";
import { NodeQueries } from "./query.ts";
import { mayCapture, readIdentity } from "./sysfs.ts";
import { V4l2Device } from "./v4l2-device.ts";
import { FolderWatch } from "./watch.ts";

export interface V4l2ProviderOptions {
  readonly clock: Clock;
  readonly log: Log;
  /** Default `/dev`. */
  readonly devDir?: string;
  /** Default `/sys`. */
  readonly sysDir?: string;
  /** Default `/run/udev`. */
  readonly udevDir?: string;
  /** Asks a node what it is. Default: ioctls in a worker thread. */
  readonly query?: (node: string) => Promise<NodeAnswer>;
  /** Safety rescan, milliseconds. Default 30000; 0 turns it off. */
  readonly rescanIntervalMs?: number;
  /** How long a new node may fail before it is reported as a problem, milliseconds. Default 1000. */
  readonly graceMs?: number;
  /** How often a node is looked at again that may become a camera without any event, milliseconds. Default 2000. */
  readonly recheckMs?: number;
}

/** One stay of something on a node name. */
interface Node {
  readonly name: string;
  /** Tells this node from one made later under the same name. */
  readonly stamp: string;
  readonly seenAtMonoUs: number;
  askedAtMonoUs: number;
  device: V4l2Device | undefined;
  /** What the last answer was, so that an unchanged one is not reported again. */
  answer: NodeAnswer | undefined;
  failures: number;
  cancelRetry: (() => void) | undefined;
  /** A question is under way; another event meanwhile asks once more afterwards. */
  asking: Promise<void> | undefined;
  again: boolean;
  readonly gone: AbortController;
}

const nodeName = /^video\d+$/;
const firstRetryMs = 10;
const longestRetryMs = 10_000;
const quietUs = 250_000;
/** These drivers turn a node into a camera and back when a producer opens and closes it, without telling anybody. */
const loopbackDrivers: ReadonlySet<string> = new Set(["v4l2 loopback"]);

export class V4l2Provider implements DeviceProvider {
  readonly name = "v4l2";
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #devDir: string;
  readonly #sysDir: string;
  readonly #udevDir: string;
  readonly #graceUs: number;
  readonly #recheckMs: number;
  readonly #rescanIntervalMs: number;
  readonly #queries: NodeQueries | undefined;
  readonly #query: (node: string) => Promise<NodeAnswer>;
  readonly #nodes = new Map<string, Node>();
  #listener: ((event: DeviceEvent) => void) | undefined;
  #watch: FolderWatch | undefined;
  #cancelRescan: (() => void) | undefined;
  #firstScan = true;
  #closed: Promise<void> | undefined;

  constructor(options: V4l2ProviderOptions) {
    this.#clock = options.clock;
    this.#log = options.log;
    this.#devDir = options.devDir ?? "/dev";
    this.#sysDir = options.sysDir ?? "/sys";
    this.#udevDir = options.udevDir ?? "/run/udev";
    this.#graceUs = (options.graceMs ?? 1000) * 1000;
    this.#recheckMs = options.recheckMs ?? 2000;
    this.#rescanIntervalMs = options.rescanIntervalMs ?? 30_000;
    if (options.query === undefined) {
      const queries = new NodeQueries({ clock: options.clock });
      this.#queries = queries;
      this.#query = (node) => queries.ask(node);
    } else {
      this.#query = options.query;
    }
  }

  async start(listener: (event: DeviceEvent) => void): Promise<void> {
    this.#listener = listener;
    // Where no driver of cameras has been loaded the thread and its megabytes wait for the first node.
    if (existsSync(join(this.#sysDir, "class/video4linux"))) this.#queries?.warmUp();
    // Watch first, then scan: what appears in between is seen twice rather than not at all.
    this.#watch = new FolderWatch({
      folder: this.#devDir,
      clock: this.#clock,
      matches: (name) => nodeName.test(name),
      onName: (name) => this.#look(name),
      onGap: () => void this.rescan(),
    });
    await this.rescan();
    this.#firstScan = false;
    if (this.#rescanIntervalMs > 0 && this.#closed === undefined) {
      this.#cancelRescan = this.#clock.every(this.#rescanIntervalMs, () => void this.rescan());
    }
  }

  async rescan(): Promise<void> {
    if (this.#closed !== undefined) return;
    let names: string[];
    try {
      names = readdirSync(this.#devDir).filter((name) => nodeName.test(name));
    } catch (error) {
      this.#log.warn({ err: error, folder: this.#devDir }, "the folder of device nodes cannot be read");
      return;
    }
    for (const name of new Set([...names, ...this.#nodes.keys()])) this.#look(name);
    await Promise.all([...this.#nodes.values()].map((node) => node.asking));
  }

  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    this.#listener = undefined;
    this.#watch?.close();
    this.#cancelRescan?.();
    for (const node of this.#nodes.values()) this.#drop(node);
    this.#nodes.clear();
    await this.#queries?.close();
  }

  /** Compares one name with what is known of it. Synchronous, so that looks never overlap; `/dev` is in memory. */
  #look(name: string): void {
    if (this.#closed !== undefined) return;
    const stamp = stampOf(join(this.#devDir, name));
    const known = this.#nodes.get(name);
    if (known !== undefined && known.stamp !== stamp) this.#lose(known);
    if (stamp === undefined) return;
    let node = this.#nodes.get(name);
    const nowUs = this.#clock.monoUs();
    if (node === undefined) {
      node = {
        name,
        stamp,
        seenAtMonoUs: nowUs,
        askedAtMonoUs: nowUs,
        device: undefined,
        answer: undefined,
        failures: 0,
        cancelRetry: undefined,
        asking: undefined,
        again: false,
        gone: new AbortController(),
      };
      this.#nodes.set(name, node);
      this.#ask(node);
    } else if (node.answer?.kind === "failed") {
      // New permissions, perhaps.
      this.#ask(node);
    } else if (node.answer?.kind === "other" && nowUs - node.askedAtMonoUs > quietUs) {
      // A producer may have begun to write to a loopback node; it then does so with every frame.
      this.#ask(node);
    }
  }

  #ask(node: Node): void {
    if (node.asking !== undefined) {
      node.again = true;
      return;
    }
    node.cancelRetry?.();
    node.cancelRetry = undefined;
    node.askedAtMonoUs = this.#clock.monoUs();
    node.asking = this.#askOnce(node)
      .catch((error: unknown) =>
        this.#log.error({ err: error, node: node.name }, "asking a video node failed"),
      )
      .finally(() => {
        node.asking = undefined;
        if (!node.again || node.gone.signal.aborted) return;
        node.again = false;
        this.#ask(node);
      });
  }

  async #askOnce(node: Node): Promise<void> {
    const path = join(this.#devDir, node.name);
    // The node's end is not kept waiting for a slow driver.
    const answer = await orAborted(this.#query(path), node.gone.signal);
    if (answer !== undefined && !node.gone.signal.aborted) this.#take(node, path, answer);
  }

  #take(node: Node, path: string, answer: NodeAnswer): void {
    node.answer = answer;
    if (answer.kind === "failed") {
      this.#takeFailure(node, path, answer.errno, answer.operation);
      return;
    }
    node.failures = 0;
    const driver = answer.kind === "camera" ? answer.capabilities.driver : answer.driver;
    if (loopbackDrivers.has(driver)) this.#retryIn(node, this.#recheckMs);
    if (answer.kind === "other") {
      if (node.device !== undefined) this.#report("lost", node, undefined);
      return;
    }
    const { capabilities } = answer;
    const problem: NodeProblem | undefined = answer.multiplanar
      ? {
          code: "unsupported",
          message: `${path} gives frames only through the multi-planar V4L2 API, which ffmpeg cannot read.`,
        }
      : undefined;
    this.#report(
      "found",
      node,
      new V4l2Device({
        node: path,
        identity: readIdentity(this.#sysDir, node.name),
        capabilities,
        ...(problem !== undefined && { problem }),
        ...this.#controlsOf(path),
      }),
    );
  }

  #controlsOf(node: string): { controls?: NodeControls } {
    const queries = this.#queries;
    if (queries === undefined) return {};
    return { controls: new NodeControls({ node, ask: (path, change) => queries.askControls(path, change) }) };
  }

  #takeFailure(node: Node, path: string, errno: number, operation: string): void {
    const { ENODEV, ENXIO, ENOENT, ENOTTY } = constants.errno;
    // Not a V4L2 node at all.
    if (errno === ENOTTY) return;
    this.#retryIn(node, Math.min(longestRetryMs, firstRetryMs * 2 ** node.failures));
    node.failures++;
    const ageUs = this.#clock.monoUs() - node.seenAtMonoUs;
    if (!this.#firstScan && ageUs < this.#graceUs && node.device === undefined) return;
    // The driver has let go of the device; the node goes next.
    if (errno === ENODEV || errno === ENXIO || errno === ENOENT) {
      if (node.device !== undefined) this.#report("lost", node, undefined);
      return;
    }
    const stats = statSync(path, { throwIfNoEntry: false });
    if (stats === undefined) return;
    const identity = readIdentity(this.#sysDir, node.name);
    if (!mayCapture(this.#udevDir, stats.rdev, identity)) return;
    this.#report(
      "found",
      node,
      new V4l2Device({
        node: path,
        identity,
        problem: nodeProblem(path, errno, operation, stats),
      }),
    );
  }

  #retryIn(node: Node, delayMs: number): void {
    node.cancelRetry?.();
    node.cancelRetry = this.#clock.after(delayMs, () => {
      node.cancelRetry = undefined;
      this.#ask(node);
    });
  }

  /** Turns what a node is now into found, changed, lost or nothing. */
  #report(type: "found" | "lost", node: Node, device: V4l2Device | undefined): void {
    const before = node.device;
    node.device = device;
    if (type === "lost" || device === undefined) {
      if (before !== undefined) this.#emit({ type: "lost", device: before });
      return;
    }
    if (before === undefined) {
      this.#emit({ type: "found", device });
    } else if (JSON.stringify(before.identity) !== JSON.stringify(device.identity)) {
      this.#emit({ type: "lost", device: before });
      this.#emit({ type: "found", device });
    } else if (
      before.problem?.message !== device.problem?.message ||
      JSON.stringify(before.capabilities) !== JSON.stringify(device.capabilities)
    ) {
      this.#emit({ type: "changed", device });
    }
  }

  #emit(event: DeviceEvent): void {
    this.#log.debug({ type: event.type, node: event.device.node }, "video node");
    this.#listener?.(event);
  }

  #lose(node: Node): void {
    this.#nodes.delete(node.name);
    this.#drop(node);
    this.#report("lost", node, undefined);
  }

  #drop(node: Node): void {
    node.gone.abort();
    node.cancelRetry?.();
  }
}

/** `undefined` when there is no such node. */
function stampOf(path: string): string | undefined {
  const stats = statSync(path, { bigint: true, throwIfNoEntry: false });
  return stats === undefined ? undefined : `${stats.ino}:${stats.rdev}:${stats.birthtimeNs}`;
}

/** The promise's value, or `undefined` as soon as the signal aborts. */
function orAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T | undefined> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => resolve(undefined);
    signal.addEventListener("abort", onAbort, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener("abort", onAbort));
  });
}
