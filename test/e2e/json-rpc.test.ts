import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { adminKey, type RunningHub, startHub } from "../harness/hub.ts";
import { type Answer, RawRpc } from "../harness/raw-rpc.ts";

// JSON-RPC 2.0 to the letter, at the socket of a running hub: ids, notifications, batches, and what is hardly JSON any more.
// The methods themselves are walked in conformance.test.ts.

let hub: RunningHub;
let admin: RawRpc;

const connect = (): Promise<RawRpc> => RawRpc.connect(`ws://127.0.0.1:${hub.port}/ws?names=path`);

beforeAll(async () => {
  hub = await startHub({ env: { OCELLI_DEVICES_V4L2: "false", OCELLI_VIRTUAL_CAMERA: "never" } });
  admin = await connect();
  await admin.result("authenticate", { auth_token: adminKey });
});

afterAll(async () => {
  await admin?.[Symbol.asyncDispose]();
  await hub?.stop();
});

const codeIn = (answer: Answer | Answer[] | undefined): unknown =>
  answer === undefined || Array.isArray(answer) ? undefined : answer.error?.code;

describe("JSON-RPC 2.0", () => {
  it("never answers a notification, whatever becomes of it", async () => {
    await using rpc = await connect();
    for (const body of [
      { method: "ping" },
      { method: "no_such_method" },
      { method: "echo", params: { message: 1 } },
      { method: "get_camera_list" },
      { method: "authenticate", params: { auth_token: "wrong" } },
      { method: "echo", params: 7 },
    ]) {
      expect(await rpc.answersTo(JSON.stringify({ jsonrpc: "2.0", ...body })), JSON.stringify(body)).toEqual(
        [],
      );
    }
    // Those that had to wait for the authentication are through as well now.
    expect(await rpc.answersTo('{"jsonrpc":"2.0","method":"ping"}')).toEqual([]);
  });

  it("gives every id back as it came, and refuses what cannot be one", async () => {
    await using rpc = await connect();
    const ids = [
      "1",
      "",
      "ä\u0000\u2028😀",
      "x".repeat(10_000),
      0,
      -0,
      -1,
      1.5,
      1e300,
      Number.MAX_SAFE_INTEGER,
      null,
    ];
    for (const id of ids) {
      const text = `{"jsonrpc":"2.0","method":"ping","id":${JSON.stringify(id)}}`;
      expect(await rpc.answerTo(text)).toEqual({
        jsonrpc: "2.0",
        id: JSON.parse(JSON.stringify(id)),
        result: "pong",
      });
    }
    for (const id of [true, false, {}, [], { id: 1 }]) {
      const answer = await rpc.answerTo(JSON.stringify({ jsonrpc: "2.0", method: "ping", id }));
      expect(answer, JSON.stringify(id)).toMatchObject({ id: null, error: { code: -32600 } });
    }
  });

  it("answers each malformed request by its class", async () => {
    await using rpc = await connect();
    const cases: [string, number, unknown][] = [
      ["", -32700, null],
      ["{", -32700, null],
      ["nonsense", -32700, null],
      ['{"jsonrpc":"2.0","id":1,"method":"ping"}}', -32700, null],
      ['{"jsonrpc":"2.0","id":1,"method":"ping","params":{"a":NaN}}', -32700, null],
      ['{"jsonrpc":"2.0","id":1,"method":"ping",}', -32700, null],
      ['\ufeff{"jsonrpc":"2.0","id":1,"method":"ping"}', -32700, null],
      ["null", -32600, null],
      ["1", -32600, null],
      ['"ping"', -32600, null],
      ["{}", -32600, null],
      ['{"jsonrpc":"1.0","id":3,"method":"ping"}', -32600, 3],
      ['{"jsonrpc":2.0,"id":3,"method":"ping"}', -32600, 3],
      ['{"jsonrpc":"2.0","id":"x"}', -32600, "x"],
      ['{"jsonrpc":"2.0","id":4,"method":""}', -32600, 4],
      ['{"jsonrpc":"2.0","id":4,"method":["ping"]}', -32600, 4],
      ['{"jsonrpc":"2.0","id":5,"method":"no_such_method"}', -32601, 5],
      ['{"jsonrpc":"2.0","id":5,"method":"__proto__"}', -32601, 5],
      ['{"jsonrpc":"2.0","id":5,"method":"constructor"}', -32601, 5],
      ['{"jsonrpc":"2.0","id":5,"method":"toString"}', -32601, 5],
    ];
    for (const [text, code, id] of cases) {
      const answer = await rpc.answerTo(text);
      expect(answer, text).toMatchObject({ jsonrpc: "2.0", id, error: { code } });
      expect(answer, text).not.toHaveProperty("result");
    }
    const unknown = await rpc.call("no_such_method");
    expect(unknown.error?.message).toBe("Method not found: no_such_method");
  });

  it("answers batches: mixed, empty, nested, without requests, and no more than a hundred", async () => {
    await using rpc = await connect();
    const mixed = [
      { jsonrpc: "2.0", id: "a", method: "ping" },
      { jsonrpc: "2.0", method: "ping" },
      { jsonrpc: "2.0", id: "b", method: "echo", params: ["hi"] },
      { jsonrpc: "2.0", id: "c", method: "no_such_method" },
      { id: "d", method: "ping" },
      7,
      [{ jsonrpc: "2.0", id: "e", method: "ping" }],
    ];
    const answers = (await rpc.answerTo(JSON.stringify(mixed))) as Answer[];
    expect(answers.map(({ id, result, error }) => [id, result ?? error?.code])).toEqual([
      ["a", "pong"],
      ["b", "hi"],
      ["c", -32601],
      ["d", -32600],
      [null, -32600],
      [null, -32600],
    ]);
    expect(await rpc.answerTo("[]")).toMatchObject({ id: null, error: { code: -32600 } });
    expect(await rpc.answersTo('[{"jsonrpc":"2.0","method":"ping"},{"jsonrpc":"2.0","method":"x"}]')).toEqual(
      [],
    );
    const many = (length: number) =>
      JSON.stringify(Array.from({ length }, (_, id) => ({ jsonrpc: "2.0", id, method: "ping" })));
    expect(await rpc.answerTo(many(100))).toHaveLength(100);
    expect(await rpc.answerTo(many(101))).toMatchObject({ id: null, error: { code: -32600 } });
  });

  it("reads binary frames as text, and keeps odd text as it is", async () => {
    await using rpc = await connect();
    const bytes = new TextEncoder().encode('{"jsonrpc":"2.0","id":1,"method":"ping"}');
    expect(await rpc.answerTo(bytes)).toEqual({ jsonrpc: "2.0", id: 1, result: "pong" });
    expect(codeIn(await rpc.answerTo(new Uint8Array([0xff, 0xfe, 0x00, 0x80])))).toBe(-32700);
    const invalid = new TextEncoder().encode('{"jsonrpc":"2.0","id":1,"method":"echo","params":["?"]}');
    invalid[invalid.indexOf(0x3f)] = 0xff;
    expect(await rpc.answerTo(invalid)).toMatchObject({ id: 1, result: "\ufffd" });
    for (const text of ["\ud800", "a\udc00b", "\u0000", "\u2028", "😀", "‮"]) {
      const answer = await rpc.answerTo(
        `{"jsonrpc":"2.0","id":1,"method":"echo","params":{"message":${JSON.stringify(text)}}}`,
      );
      expect(answer).toMatchObject({ result: text });
    }
  });

  it("is not confused by duplicate keys, __proto__, depth and great numbers", async () => {
    const duplicate = await admin.answerTo('{"jsonrpc":"2.0","id":1,"id":2,"method":"echo","method":"ping"}');
    expect(duplicate).toEqual({ jsonrpc: "2.0", id: 2, result: "pong" });
    for (const params of ['{"__proto__":{"message":"x"}}', '{"constructor":{"message":"x"}}']) {
      const answer = await admin.answerTo(`{"jsonrpc":"2.0","id":1,"method":"echo","params":${params}}`);
      expect(answer, params).toMatchObject({ error: { code: -32602, data: { param: "message" } } });
    }
    const inherited = '{"jsonrpc":"2.0","id":1,"__proto__":{"method":"ping"}}';
    expect(codeIn(await admin.answerTo(inherited))).toBe(-32600);
    const filters = '{"topics":["clock.step"],"filters":{"__proto__":"x","constructor":"y"}}';
    const subscribed = await admin.answerTo(
      `{"jsonrpc":"2.0","id":1,"method":"subscribe_events","params":${filters}}`,
    );
    expect(subscribed).toMatchObject({ result: { subscribed: true, topics: ["clock.step"] } });
    for (const depth of [1000, 100_000]) {
      const [open, close] = ["[".repeat(depth), "]".repeat(depth)];
      const deep = await admin.answerTo(
        `{"jsonrpc":"2.0","id":1,"method":"echo","params":{"message":${open}${close}}}`,
      );
      expect(deep, `depth ${depth}`).toMatchObject({ error: { code: -32602 } });
      expect(codeIn(await admin.answerTo(`${open}${close}`)), `depth ${depth}`).toBe(undefined);
    }
    for (const number of ["1e999", "-1e999", "1e308", "9007199254740993", "0.1", "-0.5", '"1e3"', '"0x10"']) {
      const answer = await admin.answerTo(
        `{"jsonrpc":"2.0","id":1,"method":"list_recordings","params":{"limit":${number}}}`,
      );
      expect(answer, number).toMatchObject({ error: { code: -32602, data: { param: "limit" } } });
    }
    expect(await admin.result("list_recordings", { limit: "5", offset: 0.0 })).toMatchObject({ limit: 5 });
  });

  it("closes on a message of more than 1 MiB with 1009, and takes one of that size", async () => {
    await using rpc = await connect();
    await rpc.result("authenticate", { auth_token: adminKey });
    const head = '{"jsonrpc":"2.0","id":1,"method":"echo","params":["';
    const fits = `${head}${"x".repeat(1024 * 1024 - head.length - 3)}"]}`;
    expect(await rpc.answerTo(fits)).toMatchObject({ id: 1 });
    rpc.send(`${fits} `);
    expect(await rpc.closed).toBe(1009);
  });
});

it("after all of this the hub answers, and its log has no fault", async () => {
  await using rpc = await connect();
  expect(await rpc.result("ping")).toBe("pong");
  expect(await admin.result("get_camera_list")).toMatchObject({ total: 0 });
  const faults = hub.output.filter((line) => /"level":[56]0|unhandled|uncaught/i.test(line));
  expect(faults).toEqual([]);
  expect(hub.process.exitCode).toBeNull();
});
