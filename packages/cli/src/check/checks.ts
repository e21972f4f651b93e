/**
 * What `ocelli check` tries on a server: that it speaks the protocol, refuses what it must, and tells of its cameras.
 * Looks only: nothing is recorded, taken or changed. Works against the older servers of this service, too.
 */
import { headersOf, socketUrl, type Target } from "../target.ts";
import { countText } from "../words.ts";
import { isObject, type Reply, Wire } from "./wire.ts";

export type Verdict = "pass" | "warn" | "fail" | "skip";

export interface Outcome {
  readonly verdict: Verdict;
  readonly detail: string;
}

export interface Check {
  readonly name: string;
  readonly run: (bench: Bench) => Promise<Outcome>;
}

/** What the checks work with, and what an earlier one found out for a later one. */
export interface Bench {
  readonly target: Target;
  readonly signal: AbortSignal;
  /** Longest ping that passes, milliseconds. */
  readonly maxPingMs: number;
  /** A slower one fails rather than being remarked on. */
  readonly isStrict: boolean;
  readonly fetch: (path: string) => Promise<{ readonly status: number }>;
  cameras: readonly string[];
  /** The credential was accepted, or none is needed. */
  isAllowed: boolean;
}

const pass = (detail: string): Outcome => ({ verdict: "pass", detail });
const warn = (detail: string): Outcome => ({ verdict: "warn", detail });
const fail = (detail: string): Outcome => ({ verdict: "fail", detail });
const skip = (detail: string): Outcome => ({ verdict: "skip", detail });

const connectCheck: Check = {
  name: "connection",
  async run(bench) {
    const began = performance.now();
    await using _wire = await open(bench);
    return pass(`${socketUrl(bench.target)} in ${ms(performance.now() - began)}`);
  },
};

const pings = 5;

const pingCheck: Check = {
  name: "ping",
  async run(bench) {
    await using wire = await open(bench);
    const times: number[] = [];
    for (let count = 0; count < pings; count++) {
      const began = performance.now();
      const answer = await wire.call("ping");
      times.push(performance.now() - began);
      if (answer !== "pong") return fail(`answered ${shown(answer)}, not "pong"`);
    }
    const median = times.toSorted((a, b) => a - b)[Math.floor(pings / 2)] ?? 0;
    const detail = `"pong" in ${ms(median)} (limit ${bench.maxPingMs} ms)`;
    if (median <= bench.maxPingMs) return pass(detail);
    return bench.isStrict ? fail(detail) : warn(`${detail}: a slow server, or a slow way to it`);
  },
};

const unknownMethodCheck: Check = {
  name: "unknown method",
  async run(bench) {
    await using wire = await open(bench);
    return refused(await wire.ask("invalid_method"), -32601, 1);
  },
};

const malformedCheck: Check = {
  name: "malformed JSON",
  async run(bench) {
    await using wire = await open(bench);
    wire.send('{"jsonrpc": "2.0", "method": "ping", "id": 1');
    const outcome = refused(await wire.reply(), -32700, null);
    if (outcome.verdict === "pass" && (await wire.call("ping")) !== "pong") return fail("no ping after it");
    return outcome;
  },
};

const invalidRequestCheck: Check = {
  name: "invalid request",
  async run(bench) {
    await using wire = await open(bench);
    wire.send({ id: 7, method: "ping" });
    return refused(await wire.reply(), -32600, 7);
  },
};

const notificationCheck: Check = {
  name: "unanswered call",
  async run(bench) {
    await using wire = await open(bench);
    wire.send({ jsonrpc: "2.0", method: "ping" });
    wire.send({ jsonrpc: "2.0", id: "after", method: "ping" });
    const reply = await wire.reply();
    if (!Array.isArray(reply) && reply.id === "after") return pass("a call without an id got no answer");
    return fail(`a call without an id was answered: ${shown(reply)}`);
  },
};

const batchCheck: Check = {
  name: "batch",
  async run(bench) {
    await using wire = await open(bench);
    const ids = ["a", 2, "c"];
    wire.send(ids.map((id) => ({ jsonrpc: "2.0", id, method: "ping" })));
    const replies = await wire.reply();
    // The older servers know no batches, and say so.
    if (!Array.isArray(replies)) return warn(`not supported: ${shown(replies.error ?? replies)}`);
    const right = ids.every((id) => replies.some((reply) => reply.id === id && reply.result === "pong"));
    return right && replies.length === ids.length
      ? pass("three calls in one message, three answers in one")
      : fail(`answered ${shown(replies)}`);
  },
};

const wrongCredentialCheck: Check = {
  name: "wrong credential",
  async run(bench) {
    await using wire = await open(bench);
    const reply = await wire.ask("authenticate", { auth_token: "not-a-credential" });
    if (reply.error?.code === -32601) return skip("the server has no authentication");
    const refusedInside = isObject(reply.result) && reply.result.authenticated === false;
    return refusedInside ? pass("refused") : refused(reply, -32001, 1);
  },
};

const withoutCredentialCheck: Check = {
  name: "no credential",
  async run(bench) {
    await using wire = await open(bench);
    const reply = await wire.ask("get_camera_list");
    if (reply.error === undefined || reply.error === null) {
      bench.isAllowed = true;
      return warn("whoever reaches this address may see the cameras");
    }
    return refused(reply, -32001, 1);
  },
};

const credentialCheck: Check = {
  name: "credential",
  async run(bench) {
    const { key } = bench.target;
    if (key === undefined) return skip("none given: --key, OCELLI_API_KEY, --profile");
    await using wire = await open(bench);
    const reply = await wire.ask("authenticate", { auth_token: key });
    if (reply.error?.code === -32601) {
      bench.isAllowed = true;
      return skip("the server has no authentication");
    }
    const { result } = reply;
    if (!isObject(result) || result.authenticated === false)
      return fail(`refused: ${shown(reply.error ?? result)}`);
    bench.isAllowed = true;
    return pass(`role ${String(result.role)}`);
  },
};

const parametersCheck: Check = {
  name: "parameters",
  async run(bench) {
    if (!bench.isAllowed) return skip("needs a credential");
    await using wire = await allowed(bench);
    return refused(await wire.ask("get_camera_status", {}), -32602, 1);
  },
};

const cameraListCheck: Check = {
  name: "cameras",
  async run(bench) {
    if (!bench.isAllowed) return skip("needs a credential");
    await using wire = await allowed(bench);
    const list = await wire.call("get_camera_list");
    if (!isObject(list) || !Array.isArray(list.cameras)) return fail(`answered ${shown(list)}`);
    const cameras = list.cameras.filter(isObject);
    bench.cameras = cameras.map(({ device }) => String(device));
    if (list.total !== cameras.length)
      return fail(`total is ${shown(list.total)}, listed are ${cameras.length}`);
    const broken = cameras.filter(({ status }) => status === "ERROR").map(({ device }) => String(device));
    const found = `${countText(cameras.length, "camera")}, ${shown(list.connected)} connected`;
    return broken.length === 0 ? pass(found) : warn(`${found}; in error: ${broken.join(", ")}`);
  },
};

const cameraStatusCheck: Check = {
  name: "camera status",
  async run(bench) {
    if (!bench.isAllowed) return skip("needs a credential");
    if (bench.cameras.length === 0) return skip("no cameras");
    await using wire = await allowed(bench);
    for (const device of bench.cameras) {
      const state = await wire.call("get_camera_status", { device });
      if (!isObject(state) || state.device !== device) return fail(`of ${device}: ${shown(state)}`);
    }
    return pass(bench.cameras.join(", "));
  },
};

const announcementsCheck: Check = {
  name: "notifications",
  async run(bench) {
    if (!bench.isAllowed) return skip("needs a credential");
    if (bench.cameras.length === 0) return skip("no cameras");
    // Credentials go with the upgrade: a connection that has sent nothing is told of each camera.
    await using wire = await open(bench, true);
    const missing = new Set(bench.cameras);
    while (missing.size > 0) {
      let message: unknown;
      try {
        message = await wire.next();
      } catch {
        return warn(`a new connection was not told of ${[...missing].join(", ")}`);
      }
      if (!isObject(message) || message.method !== "camera_status_update" || !isObject(message.params))
        continue;
      missing.delete(String(message.params.device));
    }
    return pass(`camera_status_update for ${countText(bench.cameras.length, "camera")}`);
  },
};

const healthCheck: Check = {
  name: "health",
  async run({ fetch }) {
    const { status } = await fetch("/health/ready");
    if (status === 200) return pass("/health/ready answers 200");
    return status === 404 ? skip("the server has no /health/ready") : fail(`/health/ready answers ${status}`);
  },
};

export const simpleChecks: readonly Check[] = [connectCheck, pingCheck];

export const allChecks: readonly Check[] = [
  ...simpleChecks,
  unknownMethodCheck,
  malformedCheck,
  invalidRequestCheck,
  notificationCheck,
  batchCheck,
  healthCheck,
  withoutCredentialCheck,
  wrongCredentialCheck,
  credentialCheck,
  parametersCheck,
  cameraListCheck,
  cameraStatusCheck,
  announcementsCheck,
];

function open({ target, signal }: Bench, withCredential = false): Promise<Wire> {
  return Wire.open({
    url: socketUrl(target),
    ca: target.ca,
    headers: withCredential ? headersOf(target) : {},
    signal,
  });
}

async function allowed(bench: Bench): Promise<Wire> {
  const wire = await open(bench);
  if (bench.target.key !== undefined) await wire.ask("authenticate", { auth_token: bench.target.key });
  return wire;
}

/** Whether an answer is the error it must be, under the id it must have. */
function refused(reply: Reply | Reply[], code: number, id: unknown): Outcome {
  if (Array.isArray(reply)) return fail(`answered with a list: ${shown(reply)}`);
  const { error } = reply;
  if (error?.code !== code) return fail(`error ${code} was due, the answer is ${shown(reply)}`);
  if (reply.id !== id) return fail(`the error has the id ${shown(reply.id)} instead of ${shown(id)}`);
  return pass(`error ${code} ${String(error.message)}`);
}

function ms(value: number): string {
  return `${value < 10 ? value.toFixed(1) : Math.round(value)} ms`;
}

function shown(value: unknown): string {
  const text = JSON.stringify(value) ?? "nothing";
  return text.length > 200 ? `${text.slice(0, 200)}…` : text;
}
