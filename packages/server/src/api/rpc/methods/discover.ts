/** `rpc.discover`. */
import { OcelliError } from "@ocelli/protocol";
import { servedDocument } from "../../openrpc-document.ts";
import type { Session } from "../session.ts";
import type { MethodImplementation } from "./method.ts";

/**
 * Connections with an answer under way. Anybody may call this and its answer is a thousand times the question: one at a
 * time keeps a batch of them from filling the memory.
 */
const busy = new WeakSet<Session>();

export const discover: MethodImplementation<"rpc.discover"> = {
  run(_params, { session, afterAnswer }, { hub }) {
    if (busy.has(session)) {
      throw new OcelliError(
        "rate_limited",
        "rpc.discover is being answered on this connection already; the document does not change",
        { details: { retryAfterMs: 100 } },
      );
    }
    busy.add(session);
    afterAnswer(() => busy.delete(session));
    return { ...servedDocument(hub.version).document };
  },
};
