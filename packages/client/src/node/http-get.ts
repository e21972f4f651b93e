/** One GET over HTTP or HTTPS, with a private CA if need be. */
import { type IncomingMessage, request as requestHttp } from "node:http";
import { request as requestHttps } from "node:https";
import { ConnectionError } from "../errors.ts";
import { inWords, type Tls, tlsOptions } from "./tls.ts";

export interface GetOptions extends Tls {
  readonly headers: Readonly<Record<string, string>>;
  /** Longest time without a byte. */
  readonly idleTimeoutMs: number;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Resolves with the head; the body is the stream, which is destroyed with an error when it breaks off.
 * @throws ConnectionError `connect_failed`, or the reason of `signal`
 */
export function get(url: URL, options: GetOptions): Promise<IncomingMessage> {
  const { headers, idleTimeoutMs, signal } = options;
  signal?.throwIfAborted();
  return new Promise((resolve, reject) => {
    const shared = { method: "GET", headers, agent: false, ...(signal === undefined ? {} : { signal }) };
    const request =
      url.protocol === "https:"
        ? requestHttps(url, { ...shared, ...tlsOptions(options) })
        : requestHttp(url, shared);
    request.setTimeout(idleTimeoutMs, () =>
      request.destroy(new Error(`nothing was received for ${idleTimeoutMs / 1000} s`)),
    );
    request.on("response", resolve);
    request.on("error", (cause) => {
      if (signal?.aborted) reject(signal.reason);
      else {
        reject(
          new ConnectionError(`Cannot reach ${url.origin}: ${inWords(cause).message}`, {
            condition: "connect_failed",
            cause,
          }),
        );
      }
    });
    request.end();
  });
}
