/**
 * Answers as JSON on the wire. A result that is given to many callers (`sharedResult`) is made into bytes once; all
 * others are written anew each time.
 */
import { type Outgoing, textFrameAround } from "./frame.ts";

/** Bytes of results given to many, made when the first of them goes out. */
const shared = new WeakMap<object, { bytes: Buffer | undefined }>();

/** Says that `result` goes to several callers and is never changed again. */
export function sharedResult<T extends object>(result: T): T {
  shared.set(result, { bytes: undefined });
  return result;
}

/** What is to be sent for `response`: the text of `JSON.stringify(response)`, or a frame that holds it. */
export function answerOf(response: object): Outgoing {
  const result = "result" in response ? response.result : undefined;
  const kept = typeof result === "object" && result !== null ? shared.get(result) : undefined;
  if (kept === undefined) return JSON.stringify(response);
  kept.bytes ??= Buffer.from(JSON.stringify(result));
  // With a null in the result's place. Quotes inside of an id are escaped, so it cannot look like this member.
  const around = JSON.stringify({ ...response, result: null });
  const at = around.indexOf(marker);
  return textFrameAround(
    around.slice(0, at + marker.length - 4),
    kept.bytes,
    around.slice(at + marker.length),
  );
}

const marker = '"result":null';
