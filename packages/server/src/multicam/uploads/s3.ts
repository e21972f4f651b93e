/** Where an S3 target is, and what must be sent so that it lets the upload in. */
import { request as httpRequest } from "node:http";
import { request as httpsRequest } from "node:https";
import type { CloudTarget } from "@ocelli/protocol/multicam";

/** The largest object S3 takes in one piece. */
export const maxObjectBytes = 5 * 2 ** 30;

/** @param endpoint of another make of S3, addressed by path; Amazon's otherwise */
export function objectUrl({ s3Bucket, s3Key, awsRegion }: CloudTarget, endpoint?: string): URL {
  const key = s3Key.split("/").map(encodeURIComponent).join("/");
  if (endpoint !== undefined)
    return new URL(`${endpoint.replace(/\/$/, "")}/${encodeURIComponent(s3Bucket)}/${key}`);
  return new URL(`https://${s3Bucket}.s3.${awsRegion}.amazonaws.com/${key}`);
}

export async function signedHeaders(
  method: "PUT" | "HEAD",
  url: URL,
  target: CloudTarget,
): Promise<Record<string, string>> {
  const { AwsV4Signer } = await import("aws4fetch");
  const signer = new AwsV4Signer({
    method,
    url: url.href,
    headers: { "X-Amz-Content-Sha256": "UNSIGNED-PAYLOAD" },
    accessKeyId: target.awsAccessKeyId,
    secretAccessKey: target.awsSecretAccessKey,
    sessionToken: target.awsSessionToken,
    service: "s3",
    region: target.awsRegion,
  });
  const { headers } = await signer.sign();
  return Object.fromEntries(headers.entries());
}

/** Bytes of what is there; `undefined` when it cannot be asked. */
export async function storedSize(
  url: URL,
  target: CloudTarget,
  signal: AbortSignal,
): Promise<number | undefined> {
  const headers = await signedHeaders("HEAD", url, target);
  const send = url.protocol === "https:" ? httpsRequest : httpRequest;
  return new Promise((resolve) => {
    const request = send(url, { method: "HEAD", headers, signal, timeout: 30_000 }, (response) => {
      response.resume();
      const length = Number(response.headers["content-length"]);
      resolve(response.statusCode === 200 && Number.isFinite(length) ? length : undefined);
    });
    request.on("timeout", () => request.destroy());
    request.on("error", () => resolve(undefined));
    request.end();
  });
}
