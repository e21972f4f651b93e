/** From the bytes of one message to requests, by the rules of JSON-RPC 2.0. Pure. */
import { type Condition, maxBatchMembers } from "@ocelli/protocol/camera-service";

export type RequestId = string | number | null;

export interface Request {
  readonly method: string;
  /** `undefined` for a notification: it is run and never answered. */
  readonly id: RequestId | undefined;
  readonly params: unknown;
}

/** What cannot be run and is answered at once. */
export interface Malformed {
  readonly condition: Condition;
  readonly reason: string;
  readonly id: RequestId;
}

export type Member = Request | Malformed;

export type Message =
  | { readonly kind: "single"; readonly member: Member }
  | { readonly kind: "batch"; readonly members: readonly Member[] };

export function isMalformed(member: Member): member is Malformed {
  return "condition" in member;
}

export function readMessage(text: string): Message {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return single({ condition: "parse_error", reason: "The message is not JSON.", id: null });
  }
  if (!Array.isArray(value)) return single(readMember(value));
  if (value.length === 0) return single(invalid("A batch must not be empty.", null));
  if (value.length > maxBatchMembers) {
    return single(invalid(`A batch may have at most ${maxBatchMembers} members.`, null));
  }
  return { kind: "batch", members: value.map(readMember) };
}

function readMember(value: unknown): Member {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    return invalid("A request must be an object.", null);
  }
  const { jsonrpc, method, id, params }: Record<string, unknown> = { ...value };
  const readable = typeof id === "string" || typeof id === "number" ? id : null;
  if (jsonrpc !== "2.0") return invalid('jsonrpc must be "2.0".', readable);
  if (typeof method !== "string" || method === "") return invalid("method must be a text.", readable);
  if (id !== undefined && id !== null && readable === null)
    return invalid("id must be a text or a number.", null);
  return { method, id: id === undefined ? undefined : readable, params };
}

function single(member: Member): Message {
  return { kind: "single", member };
}

function invalid(reason: string, id: RequestId): Malformed {
  return { condition: "invalid_request", reason, id };
}
