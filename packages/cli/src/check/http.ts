/** The status a server answers a path with; it may have a certificate of its own. */
import { request as requestHttp } from "node:http";
import { request as requestHttps } from "node:https";
import type { Target } from "../target.ts";
import { patienceMs } from "./wire.ts";

export function statusProbe(
  { baseUrl, ca }: Pick<Target, "baseUrl" | "ca">,
  signal: AbortSignal,
): (path: string) => Promise<{ readonly status: number }> {
  return (path) =>
    new Promise((resolve, reject) => {
      const url = new URL(path, baseUrl);
      const options = { agent: false, timeout: patienceMs, signal };
      const request =
        url.protocol === "https:"
          ? requestHttps(url, { ...options, ...(ca === undefined ? {} : { ca }) })
          : requestHttp(url, options);
      request.on("timeout", () =>
        request.destroy(new Error(`${url} did not answer within ${patienceMs / 1000} s`)),
      );
      request.on("error", reject);
      request.on("response", (response) => {
        response.resume();
        resolve({ status: response.statusCode ?? 0 });
      });
      request.end();
    });
}
