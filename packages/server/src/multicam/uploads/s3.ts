/** S3 with temporary credentials: where an object is, and requests that are signed. */
import { createHash } from "node:crypto";
import { request as httpRequest, type IncomingHttpHeaders } from "node:http";
import { request as httpsRequest } from "node:https";
import { messageOf, OcelliError } from "@ocelli/protocol";
import type { CloudTarget } from "@ocelli/protocol/multicam";
import type { Clock } from "../../clock/clock.ts";
import { answerTo, bodyOf } from "./put-file.ts";

export interface S3Request {
  readonly method: "PUT" | "HEAD" | "POST" | "DELETE";
  readonly url: URL;
  readonly target: CloudTarget;
  readonly clock: Clock;
}

/**
 * @param endpoint of another make of S3, addressed by path; Amazon's otherwise
 * @throws OcelliError `invalid_params` for a bucket or key that would not stay what it is in an address, or credentials
 *   that fit into no header: what refuses them there repeats them in its error
 */
export function objectUrl(target: CloudTarget, endpoint?: string): string {
  const { s3Bucket, s3Key, awsRegion, awsAccessKeyId, awsSecretAccessKey, awsSessionToken } = target;
  const inHeaders = [awsRegion, awsAccessKeyId, awsSecretAccessKey, awsSessionToken];
  if (!inHeaders.every((value) => /^[\x21-\x7e]+$/.test(value)) || !`${s3Bucket}${s3Key}`.isWellFormed()) {
    throw new OcelliError(
      "invalid_params",
      "awsAccessKeyId, awsSecretAccessKey, awsSessionToken and awsRegion must be of printable ASCII characters without spaces, and s3Bucket and s3Key of whole ones.",
    );
  }
  const steps = s3Key.split("/");
  if ([s3Bucket, ...steps].some((step) => step === "." || step === "..")) {
    throw new OcelliError("invalid_params", "Neither s3Bucket nor a part of s3Key may be . or ..");
  }
  const key = steps.map(encodeURIComponent).join("/");
  if (endpoint !== undefined) {
    return `${endpoint.replace(/\/$/, "")}/${encodeURIComponent(s3Bucket)}/${key}`;
  }
  if (!/^[a-z0-9][a-z0-9.-]*$/i.test(s3Bucket) || !/^[a-z0-9-]+$/i.test(awsRegion)) {
    throw new OcelliError("invalid_params", "s3Bucket and awsRegion must be names of S3.");
  }
  return `https://${s3Bucket}.s3.${awsRegion}.amazonaws.com/${key}`;
}

/** Headers that let a request in. @param body what is sent; a file's content is not signed */
export async function signedHeaders(
  { method, url, target, clock }: S3Request,
  body?: string,
): Promise<Record<string, string>> {
  const { AwsV4Signer } = await import("aws4fetch");
  const content = body === undefined ? "UNSIGNED-PAYLOAD" : createHash("sha256").update(body).digest("hex");
  const signer = new AwsV4Signer({
    method,
    url: url.href,
    headers: { "X-Amz-Content-Sha256": content },
    accessKeyId: target.awsAccessKeyId,
    secretAccessKey: target.awsSecretAccessKey,
    sessionToken: target.awsSessionToken,
    service: "s3",
    region: target.awsRegion,
    datetime: new Date(clock.wallUs() / 1000).toISOString().replace(/[:-]|\.\d{3}/g, ""),
  });
  const { headers } = await signer.sign();
  return Object.fromEntries(headers.entries());
}

export interface S3Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
}

/** Without any byte for so long: putting the parts of a large file together takes S3 minutes. */
const idleTimeoutMs = 300_000;

/** @throws OcelliError `device_unreachable`; the signal's reason */
export async function askS3(asked: S3Request, signal: AbortSignal, body = ""): Promise<S3Answer> {
  const { method, url } = asked;
  const headers = {
    ...(await signedHeaders(asked, body)),
    "Content-Length": String(Buffer.byteLength(body)),
  };
  const send = url.protocol === "https:" ? httpsRequest : httpRequest;
  const request = send(url, { method, headers, signal, timeout: idleTimeoutMs });
  request.on("timeout", () => request.destroy(new Error("it said nothing for too long")));
  try {
    const answered = answerTo(request);
    request.end(body);
    const response = await answered;
    const text = await bodyOf(response);
    return { status: response.statusCode ?? 0, headers: response.headers, text };
  } catch (cause) {
    request.destroy();
    signal.throwIfAborted();
    const where = `${url.protocol}//${url.host}`;
    throw new OcelliError("device_unreachable", `${where} could not be reached: ${messageOf(cause)}`, {
      cause,
    });
  }
}
