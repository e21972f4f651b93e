import { expect, it } from "vitest";
import { answerOf, sharedResult } from "./answer.ts";
import { textFrame } from "./frame.ts";

it("writes shared results as all others, whatever stands beside them", () => {
  const odd = {
    'a "quoted" name': [1, "\u00e9\u2028", null],
    '"result":null': '"result":null',
    absent: undefined,
    nested: { deep: [{}] },
    long: "\u20ac".repeat(100),
  };
  for (const id of ["1", 1, null, 1.5, 'x"\\\ud800', '"result":null', ',"result":null,']) {
    for (const more of [{}, { metadata: { a: "\u00e9", b: undefined } }, { absent: undefined }]) {
      for (const size of [0, 200, 70_000]) {
        const result = { ...odd, filler: "x".repeat(size) };
        const plain = { jsonrpc: "2.0", id, result, ...more };
        const shared = { ...plain, result: sharedResult({ ...result }) };
        expect(answerOf(shared)).toEqual(textFrame(JSON.stringify(plain)));
        expect(answerOf(shared)).toEqual(textFrame(JSON.stringify(plain)));
      }
    }
  }
});

it("writes the text of a shared result once", () => {
  let written = 0;
  const result = sharedResult({
    toJSON: () => {
      written++;
      return { cameras: [] };
    },
  });
  for (const id of [1, 2, 3])
    expect(answerOf({ id, result })).toEqual(textFrame(`{"id":${id},"result":{"cameras":[]}}`));
  expect(written).toBe(1);
});

it("writes errors and plain results", () => {
  for (const response of [
    { jsonrpc: "2.0", id: 1, error: { code: -32601, message: "x" } },
    { jsonrpc: "2.0", id: null, result: null },
    { jsonrpc: "2.0", id: "a", result: "pong" },
    { jsonrpc: "2.0", id: 1, error: {}, result: null },
  ]) {
    expect(answerOf(response)).toBe(JSON.stringify(response));
  }
});
