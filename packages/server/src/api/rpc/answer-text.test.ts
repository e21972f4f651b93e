import { expect, it } from "vitest";
import { answerText, sharedResult } from "./answer-text.ts";

it("writes shared results as all others, whatever stands beside them", () => {
  const odd = { 'a "quoted" name': [1, "é\u2028", null], absent: undefined, nested: { deep: [{}] } };
  const before = ["1", 1, null, 1.5, 'x"\\\ud800'];
  for (const id of before) {
    for (const more of [{}, { metadata: { a: 1, b: undefined } }, { absent: undefined }]) {
      const plain = { jsonrpc: "2.0", id, result: odd, ...more };
      const shared = { ...plain, result: sharedResult({ ...odd }) };
      expect(answerText(shared)).toBe(JSON.stringify(plain));
      expect(answerText(shared)).toBe(JSON.stringify(plain));
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
    expect(JSON.parse(answerText({ id, result }))).toEqual({ id, result: { cameras: [] } });
  expect(written).toBe(1);
});

it("writes errors and plain results", () => {
  for (const response of [
    { jsonrpc: "2.0", id: 1, error: { code: -32601, message: "x" } },
    { jsonrpc: "2.0", id: null, result: null },
    { jsonrpc: "2.0", id: "a", result: "pong" },
  ]) {
    expect(answerText(response)).toBe(JSON.stringify(response));
  }
});
