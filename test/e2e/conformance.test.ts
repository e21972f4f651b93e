import { Ajv, type ValidateFunction } from "ajv";
import addFormats from "ajv-formats";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { adminKey, type RunningHub, startHub, virtualCameras } from "../harness/hub.ts";
import { type Answer, type RawNotification, RawRpc } from "../harness/raw-rpc.ts";

// Walks the OpenRPC document of a running hub and holds the hub to it: what a method takes, what it answers, who may call
// it. A method that is added is walked too; it only needs an entry in `preparations` when its example alone cannot work.

interface Documented {
  readonly name: string;
  readonly params: { name: string; required: boolean; schema: object }[];
  readonly result: { schema: object };
  readonly errors: { code: number; data: { codes: string[] } }[];
  readonly examples: { params: { name: string; value: unknown }[] }[];
  readonly "x-role": "public" | "viewer" | "operator" | "admin";
}

const env = {
  ...virtualCameras({ size: "320x240", fps: 25 }),
  OCELLI_LOG_LEVEL: "debug",
};

/** The hub speaks two vocabularies, which differ in names of cameras and numbers of errors. */
type Names = "path" | "logical";
const vocabularies: readonly Names[] = ["path", "logical"];

interface Described {
  readonly name: string;
  readonly schema: object;
}

interface ErrorCode extends Record<Names, number> {
  readonly code: string;
}

let hub: RunningHub;
let methods: Documented[];
let errorCodes: ErrorCode[];
let notifications: Described[];
/** Hears the broadcasts of everything that is done here, and does nothing. */
let listener: RawRpc;
/** What others were told. */
const toldCallers: RawNotification[] = [];
let admin: RawRpc;
let device: string;
const keys: Record<string, string> = { admin: adminKey };

const connect = (names: Names = "path"): Promise<RawRpc> =>
  RawRpc.connect(`ws://127.0.0.1:${hub.port}/ws?names=${names}`);

async function signedIn(key: string, names: Names = "path"): Promise<RawRpc> {
  const rpc = await connect(names);
  await rpc.result("authenticate", { auth_token: key });
  return rpc;
}

beforeAll(async () => {
  hub = await startHub({ env });
  const response = await fetch(`${hub.url}/openrpc.json`);
  const document = (await response.json()) as {
    methods: Documented[];
    "x-error-codes": ErrorCode[];
    "x-notifications": Described[];
  };
  methods = document.methods;
  errorCodes = document["x-error-codes"];
  notifications = document["x-notifications"];
  listener = await RawRpc.connect(`ws://127.0.0.1:${hub.port}/ws?welcome=1`);
  await listener.result("authenticate", { auth_token: adminKey });
  admin = await signedIn(adminKey);
  const { cameras } = await admin.result<{ cameras: { device: string }[] }>("get_camera_list");
  device = cameras[0]?.device ?? "";
  for (const role of ["viewer", "operator"]) {
    const made = await admin.result<{ api_key: string }>("create_api_key", { name: role, role });
    keys[role] = made.api_key;
  }
});

afterAll(async () => {
  await admin?.[Symbol.asyncDispose]();
  await listener?.[Symbol.asyncDispose]();
  await hub?.stop();
});

const ajv = new Ajv({ strict: true, allowUnionTypes: true });
(addFormats as unknown as (ajv: Ajv) => void)(ajv);

/** Made once a schema. */
const compiled = (schema: object): ValidateFunction => ajv.compile(schema);

type Params = Record<string, unknown>;

async function recorded(): Promise<string> {
  await admin.result("start_recording", { device });
  const { filename } = await admin.result<{ filename: string }>("stop_recording", { device });
  return filename;
}

const snapshot = async (): Promise<string> =>
  (await admin.result<{ filename: string }>("take_snapshot", { device })).filename;

async function apiKey(): Promise<string> {
  const params = { name: "to be ended", role: "viewer" };
  return (await admin.result<{ key_id: string }>("create_api_key", params)).key_id;
}

async function schedule(): Promise<string> {
  const params = { device, start_time: "2099-01-01T00:00:00Z", duration: 60 };
  return (await admin.result<{ schedule_id: string }>("schedule_recording", params)).schedule_id;
}

const password = "a long enough passphrase";
let users = 0;

async function user(): Promise<string> {
  const username = `user ${users++}`;
  await admin.result("create_user", { username, password, role: "viewer" });
  return username;
}

/** What a method's example needs before it can work here: parameters to put in place of the example's. */
const preparations: Record<string, () => Promise<Params> | Params> = {
  authenticate: () => ({ auth_token: adminKey }),
  stop_recording: async () => {
    await admin.result("start_recording", { device });
    return {};
  },
  get_recording_info: async () => ({ filename: await recorded() }),
  delete_recording: async () => ({ filename: await recorded() }),
  export_recording: async () => ({ filename: await recorded() }),
  get_snapshot_info: async () => ({ filename: await snapshot() }),
  delete_snapshot: async () => ({ filename: await snapshot() }),
  cancel_scheduled_recording: async () => ({ schedule_id: await schedule() }),
  revoke_api_key: async () => ({ key_id: await apiKey() }),
  rotate_api_key: async () => ({ key_id: await apiKey() }),
  create_user: () => ({ username: `user ${users++}`, password }),
  update_user: async () => ({ username: await user() }),
  set_user_password: async () => ({ username: await user(), password }),
  delete_user: async () => ({ username: await user() }),
  login: async () => ({ username: await user(), password }),
  create_sync_group: () => ({ members: [device] }),
  // Of this machine, and nobody is there: nothing may go out to the network.
  add_external_stream: () => ({ stream_url: absentStream }),
  remove_external_stream: () => ({ stream_url: absentStream }),
};

const absentStream = "rtsp://127.0.0.1:9/absent";

/** What has to be taken back before the next method. */
const afterwards: Record<string, () => Promise<unknown>> = {
  start_recording: () => admin.result("stop_recording", { device }),
};

/** What this hub must refuse, by the stable code: its only camera is a test pattern, nothing else is configured. */
const refusals: Record<string, string> = {
  get_camera_controls: "unsupported",
  set_camera_control: "unsupported",
  discover_external_streams: "unsupported",
  add_external_stream: "capture_failed",
  remove_external_stream: "file_not_found",
};

/** Without an entry above, a method that needs more than a camera may refuse its example, for a documented reason. */
function mustSucceed({ name, params }: Documented): boolean {
  return name in preparations || params.every((param) => !param.required || param.name === "device");
}

async function exampleOf({ name, examples, params }: Documented): Promise<Params> {
  const example = Object.fromEntries(examples[0]?.params.map((one) => [one.name, one.value]) ?? []);
  const camera = "device" in example && params.some((param) => param.name === "device") ? { device } : {};
  return { ...example, ...camera, ...(await preparations[name]?.()) };
}

function numberOf(stable: string, names: Names): number {
  const found = errorCodes.find(({ code }) => code === stable);
  if (found === undefined) throw new Error(`the document knows no error ${stable}`);
  return found[names];
}

function judge(method: Documented, answer: Answer, names: Names): void {
  const { name, errors, result } = method;
  if (answer.error !== undefined) {
    const what = `${name} fails with ${JSON.stringify(answer.error)}`;
    const stable = String(answer.error.data?.code);
    expect(
      errors.flatMap(({ data }) => data.codes),
      what,
    ).toContain(stable);
    expect(answer.error.code, what).toBe(numberOf(stable, names));
    expect(["internal", "invalid_params"], what).not.toContain(stable);
    if (name in refusals) expect(stable, what).toBe(refusals[name]);
    // An example may name something that is not here, where nothing was prepared.
    else if (mustSucceed(method) && (name in preparations || stable !== "not_found")) expect.fail(what);
    return;
  }
  expect(refusals[name], `${name} was to be refused`).toBeUndefined();
  const isValid = compiled(result.schema);
  isValid(answer.result);
  expect(isValid.errors ?? [], `${name} answers ${JSON.stringify(answer.result)?.slice(0, 2000)}`).toEqual(
    [],
  );
}

describe("the document", () => {
  it("is served to anybody, cached, and the same by rpc.discover", async () => {
    const response = await fetch(`${hub.url}/openrpc.json`);
    expect(response.status).toBe(200);
    expect(response.headers.get("content-type")).toMatch(/^application\/json/);
    const document = await response.json();
    const etag = response.headers.get("etag") ?? "";
    const again = await fetch(`${hub.url}/openrpc.json`, { headers: { "if-none-match": etag } });
    expect(again.status).toBe(304);
    await using anybody = await connect();
    expect(await anybody.result("rpc.discover")).toEqual(document);
    expect(await anybody.result("get_supported_methods")).toEqual(methods.map(({ name }) => name));
  });

  it("keeps a batch of rpc.discover from filling the memory, and answers again afterwards", async () => {
    await using anybody = await connect();
    const batch = Array.from({ length: 50 }, (_, id) => ({ jsonrpc: "2.0", id, method: "rpc.discover" }));
    const answers = (await anybody.answerTo(JSON.stringify(batch))) as Answer[];
    expect(answers.filter(({ result }) => result !== undefined)).toHaveLength(1);
    expect(answers.filter(({ error }) => error?.data?.code === "rate_limited")).toHaveLength(49);
    expect(await anybody.result("rpc.discover")).toHaveProperty("openrpc");
  });

  it("gives the methods of the older systems the roles they had, or as decided", () => {
    const roleOf = Object.fromEntries(methods.map((method) => [method.name, method["x-role"]]));
    const expected = {
      public: "ping authenticate echo get_supported_methods",
      viewer:
        "get_camera_list get_camera_status get_camera_capabilities list_recordings list_snapshots get_recording_info get_snapshot_info get_streams get_recording_status get_stream_url get_stream_status get_system_status subscribe_events unsubscribe_events get_subscription_stats get_server_info",
      operator:
        "take_snapshot capture_snapshot start_recording stop_recording schedule_recording delete_recording delete_snapshot start_streaming stop_streaming",
      admin: "get_metrics get_status get_storage_info set_retention_policy cleanup_old_files",
    };
    for (const [role, names] of Object.entries(expected)) {
      for (const name of names.split(" ")) expect(roleOf[name], name).toBe(role);
    }
  });
});

describe.each(vocabularies)("every method, in the vocabulary %s", (names) => {
  let caller: RawRpc;
  /** Came with a token, which is what can be renewed. */
  let tokenHolder: RawRpc;

  beforeAll(async () => {
    caller = await signedIn(adminKey, names);
    const { token } = await admin.result<{ token: string }>("login", { username: await user(), password });
    tokenHolder = await signedIn(token, names);
  });
  const callerOf = (name: string): RawRpc => (name === "refresh_token" ? tokenHolder : caller);
  afterAll(async () => {
    toldCallers.push(...caller.notifications);
    await caller[Symbol.asyncDispose]();
    await tokenHolder[Symbol.asyncDispose]();
  });

  it("answers its example in the documented shape; unknown parameters are ignored", async () => {
    for (const method of methods) {
      const params = { ...(await exampleOf(method)), not_a_parameter: { nested: [1] } };
      judge(method, await callerOf(method.name).call(method.name, params), names);
      await afterwards[method.name]?.();
    }
  }, 120_000);

  it("takes the same parameters by position, null for what is left out", async () => {
    for (const method of methods) {
      const named = await exampleOf(method);
      const last = method.params.findLastIndex(({ name }) => name in named);
      const positional = method.params.slice(0, last + 1).map(({ name }) => named[name] ?? null);
      judge(method, await callerOf(method.name).call(method.name, positional), names);
      await afterwards[method.name]?.();
      const tooMany = await caller.call(method.name, [...method.params.map(() => null), 1]);
      expect(tooMany.error, `${method.name} with one more`).toMatchObject({
        code: -32602,
        data: { param: "params" },
      });
    }
  }, 120_000);

  it("refuses a parameter of a wrong kind, naming it", async () => {
    const candidates = [true, 12.5, -1, "\u0007", "", {}, [], [{}], { x: [] }];
    const calls = methods.flatMap(({ name, params, examples }) => {
      const example = Object.fromEntries(examples[0]?.params.map((one) => [one.name, one.value]) ?? []);
      return params.flatMap(({ name: parameter, schema }) => {
        const isValid = compiled(schema);
        const wrong = candidates.filter((value) => !isValid(value));
        expect(wrong.length, `${name}.${parameter} takes anything`).toBeGreaterThan(0);
        return wrong.map((value) => ({ name, parameter, params: { ...example, [parameter]: value } }));
      });
    });
    expect(calls.length).toBeGreaterThan(300);
    for (const { name, parameter, params } of calls) {
      const { error } = await caller.call(name, params);
      const what = `${name} ${JSON.stringify(params)}: ${JSON.stringify(error)}`;
      expect(error?.code, what).toBe(-32602);
      expect(String(error?.data?.param).split(".")[0], what).toBe(parameter);
      expect(error?.data?.code, what).toBe("invalid_params");
    }
  }, 120_000);

  it("says which required parameter is missing", async () => {
    for (const { name, params, examples } of methods) {
      const example = Object.fromEntries(examples[0]?.params.map((one) => [one.name, one.value]) ?? []);
      for (const { name: parameter, required } of params) {
        if (!required) continue;
        for (const absent of [undefined, null]) {
          const { error } = await caller.call(name, { ...example, [parameter]: absent });
          expect(error, `${name} without ${parameter}`).toMatchObject({
            code: -32602,
            data: { param: parameter },
          });
        }
      }
      for (const scalar of [1, "x", true])
        expect((await caller.call(name, scalar)).error?.code, name).toBe(-32602);
    }
  });

  it.each(["unauthenticated", "viewer", "operator", "admin"])(
    "lets a caller in by its role: %s",
    async (role) => {
      const ranks = ["unauthenticated", "viewer", "operator", "admin"];
      for (const { name, "x-role": wanted } of methods) {
        // A connection for each: what one call did to it must not tell on the next.
        const key = keys[role];
        await using rpc = key === undefined ? await connect(names) : await signedIn(key, names);
        // Without parameters most calls end there; who may not call never gets that far.
        const { error } = await rpc.call(name, {});
        const stable = error?.data?.code;
        const mayCall = wanted === "public" || ranks.indexOf(role) >= ranks.indexOf(wanted);
        const what = `${name} as ${role}: ${JSON.stringify(error)}`;
        if (mayCall) {
          expect(["auth_required", "permission_denied", "token_expired"], what).not.toContain(stable);
          continue;
        }
        const refusal = role === "unauthenticated" ? "auth_required" : "permission_denied";
        expect(stable, what).toBe(refusal);
        expect(error?.code, what).toBe(numberOf(refusal, names));
        if (refusal === "auth_required")
          expect(error?.data?.reason, what).toContain("Authentication required");
        else expect(error?.data, what).toMatchObject({ required_role: wanted, have_role: role });
      }
    },
    60_000,
  );
});

it("gives every refusal a result for clients that take nothing else for an answer", async () => {
  await using rpc = await RawRpc.connect(`ws://127.0.0.1:${hub.port}/ws?failures=inband`);
  for (const { name, params, "x-role": role } of methods) {
    if (role === "public" && !params.some(({ required }) => required)) continue;
    const answer = await rpc.call(name, {});
    expect(answer, name).toHaveProperty("result", null);
    expect(answer.error?.code, name).toBe(role === "public" ? -32602 : -32001);
  }
  expect(await rpc.answerTo("{")).toMatchObject({ id: null, error: { code: -32700 } });
  await rpc.result("authenticate", { token: adminKey });
  for (const { name, params } of methods) {
    const required = params.find((one) => one.required);
    if (required === undefined) continue;
    const answer = await rpc.call(name, {});
    expect(answer, name).toMatchObject({
      result: null,
      error: { code: -32602, data: { param: required.name } },
    });
  }
  for (const name of ["take_snapshot", "capture_snapshot", "start_recording", "stop_recording"]) {
    const { result, error } = await rpc.call(name, { device: "/dev/video77" });
    expect(error, name).toBeUndefined();
    expect(result, name).toMatchObject({ success: false, status: "FAILED", device: "/dev/video77" });
    const method = methods.find((one) => one.name === name) as Documented;
    const isValid = compiled(method.result.schema);
    isValid(result);
    expect(isValid.errors ?? [], name).toEqual([]);
  }
});

describe("notifications", () => {
  it("are as the document says, and have no id", async () => {
    // Its key came with the upgrade; it says nothing at all.
    await using quiet = await RawRpc.connect(`ws://127.0.0.1:${hub.port}/ws`, { "x-api-key": adminKey });
    await quiet.notified("camera_status_update");
    const heard = [...listener.notifications, ...toldCallers, ...quiet.notifications];
    const topics = methods.find(({ name }) => name === "subscribe_events")?.params[0]?.schema as {
      items: { enum: string[] };
    };
    for (const name of ["server_welcome", "recording_status_update", "export_update", "camera_status_update"])
      expect(heard.map(({ method }) => method)).toContain(name);
    for (const notification of heard) {
      const { method, params } = notification;
      expect(notification, method).not.toHaveProperty("id");
      const described = notifications.find(({ name }) => name === method);
      if (described === undefined) {
        expect(topics.items.enum, `${method} is neither described nor a topic`).toContain(method);
        continue;
      }
      const isValid = compiled(described.schema);
      isValid(params);
      expect(isValid.errors ?? [], `${method} ${JSON.stringify(params)}`).toEqual([]);
    }
  });
});

it("after all of this the hub answers, and its log has no fault", async () => {
  await using rpc = await connect();
  expect(await rpc.result("ping")).toBe("pong");
  expect(await admin.result("get_camera_list")).toMatchObject({ connected: 1 });
  const faults = hub.output.filter((line) => /"level":[56]0|unhandled|uncaught/i.test(line));
  expect(faults).toEqual([]);
  expect(hub.process.exitCode).toBeNull();
  const log = hub.output.join("\n");
  for (const line of ["client connected", "client disconnected", "refused"]) expect(log).toContain(line);
  for (const { name } of methods) expect(log, `the log of calls, for ${name}`).toContain(`"${name}"`);
  for (const secret of [...Object.values(keys), password]) expect(log).not.toContain(secret);
});
