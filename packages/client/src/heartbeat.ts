import { TimeoutError } from "./errors.ts";
import type { RpcConnection } from "./rpc-connection.ts";

/** Asks a server that has long been silent for a sign of life. */

/** The longest wait for the answer. */
const longestWaitMs = 10_000;

/** Ends with the connection, which it ends itself when the server is gone without a word. */
export function watchHeartbeat(connection: RpcConnection, intervalMs: number, onSilent: () => void): void {
  let timer: ReturnType<typeof setTimeout> | undefined;
  let ended = false;
  const wait = (ms: number): void => {
    if (!ended) timer = setTimeout(beat, ms);
  };
  const beat = (): void => {
    const quietMs = connection.silentMs;
    if (quietMs < intervalMs) {
      wait(intervalMs - quietMs);
      return;
    }
    const timeoutMs = Math.min(longestWaitMs, intervalMs);
    connection.request("ping", {}, { timeoutMs }).then(
      () => wait(intervalMs),
      (error: unknown) => {
        // Anything received meanwhile will do, also another call's long answer.
        if (!(error instanceof TimeoutError) || connection.silentMs < timeoutMs) wait(intervalMs);
        else {
          onSilent();
          connection.destroy();
        }
      },
    );
  };
  wait(intervalMs);
  void connection.closed.then(() => {
    ended = true;
    clearTimeout(timer);
  });
}
