/** A page of the hub as text, over HTTP; the hub may have a certificate of its own. */
import { request as requestHttp } from "node:http";
import { request as requestHttps } from "node:https";
import { OcelliError } from "@ocelli/protocol";
import { headersOf, type Target } from "./target.ts";

/** Without a byte for so long the hub is given up. */
const patienceMs = 60_000;

/** @throws OcelliError when the answer is another one than 200; errors of the connection */
export function httpText(target: Target, path: string, signal: AbortSignal): Promise<string> {
  return new Promise((resolve, reject) => {
    const url = new URL(path, target.baseUrl);
    const options = { agent: false, timeout: patienceMs, signal, headers: headersOf(target) };
    const request =
      url.protocol === "https:"
        ? requestHttps(url, { ...options, ...(target.ca === undefined ? {} : { ca: target.ca }) })
        : requestHttp(url, options);
    request.on("timeout", () =>
      request.destroy(new Error(`${target.baseUrl} has said nothing for ${patienceMs / 1000} s`)),
    );
    request.on("error", reject);
    request.on("response", (response) => {
      const parts: Buffer[] = [];
      response.on("data", (part: Buffer) => parts.push(part));
      response.on("error", reject);
      response.on("end", () => {
        const text = Buffer.concat(parts).toString("utf8");
        if (response.statusCode === 200) resolve(text);
        else {
          reject(
            new OcelliError(
              "internal",
              `The hub answered ${url.pathname} with ${response.statusCode}: ${text}`,
            ),
          );
        }
      });
    });
    request.end();
  });
}
