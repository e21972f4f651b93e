/**
 * A large file to S3 in parts: what has arrived need not be sent again, whatever breaks between, and there is no limit of
 * 5 GiB. Begins where `KeptParts` says it was. Source: Amazon's description of multipart uploads.
 */
import { createHash } from "node:crypto";
import { stat } from "node:fs/promises";
import { OcelliError } from "@ocelli/protocol";
import type { CloudTarget } from "@ocelli/protocol/multicam";
import type { Clock } from "../../clock/clock.ts";
import type { BegunUpload, KeptParts } from "./kept-parts.ts";
import { errorCodeIn, putFile, refusal, sameAs } from "./put-file.ts";
import { askS3, signedHeaders } from "./s3.ts";

/** S3's own limits. */
const mostParts = 10_000;
const maxObjectBytes = 5 * 2 ** 40;

export interface PartsUpload {
  readonly fileName: string;
  readonly path: string;
  readonly size: number;
  /** Of the object. */
  readonly url: URL;
  readonly target: CloudTarget;
  readonly kept: KeptParts;
  /** Larger ones are made of a file that would have too many. S3 takes none below 5 MiB but the last. */
  readonly partBytes: number;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  /** @param bytes of the file, so far @param resumed of these, what was there already */
  readonly onProgress: (bytes: number, resumed: number) => void;
}

/**
 * @returns whether S3 has proved that it has the file; `undefined` when it stated nothing that could be checked
 * @throws OcelliError `device_failed`, `device_unreachable`, `file_not_found`, `unsupported`; the signal's reason
 */
export async function sendInParts(upload: PartsUpload): Promise<boolean | undefined> {
  const { fileName, path, size, url, target, kept, clock, signal } = upload;
  if (size > maxObjectBytes) {
    throw new OcelliError("unsupported", "The file is larger than 5 TiB, which S3 does not take.");
  }
  const begun = await goOnOrBegin(upload);
  const { uploadId, partBytes, parts } = begun;
  const resumed = Math.min(size, parts.size * partBytes);
  let done = resumed;
  try {
    for (let number = 1; (number - 1) * partBytes < size; number++) {
      if (parts.has(number)) continue;
      const offset = (number - 1) * partBytes;
      const part = withQuery(url, { partNumber: String(number), uploadId });
      const before = done;
      const { etag, md5, verified } = await putFile({
        ...{ url: part, path, offset, size: Math.min(partBytes, size - offset), clock, signal },
        headers: await signedHeaders({ method: "PUT", url: part, target, clock }),
        onProgress: (bytes) => {
          done = before + bytes;
          upload.onProgress(done, resumed);
        },
      });
      if (etag === undefined || verified === false) {
        throw new OcelliError(
          "device_failed",
          `${url.host} states ${etag === undefined ? "no" : "another"} checksum for part ${number} of the file.`,
        );
      }
      kept.add(fileName, number, { etag, md5 });
    }
    if ((await stampOf(path)) !== begun.fileStamp) {
      await abort(upload, begun);
      throw new OcelliError("file_not_found", "The file was changed while it was being uploaded.");
    }
    return await complete(upload, begun);
  } catch (error) {
    // S3 knows nothing of it any more, such as by a rule of the bucket: the next try begins anew.
    if (error instanceof OcelliError && error.details.reason === "NoSuchUpload") kept.forget(fileName);
    throw error;
  }
}

/**
 * Frees what S3 holds of a file that is given up; it would cost its owner money. Where that is not possible it is kept in
 * mind, so that the file can be asked for again. Never rejects.
 */
export async function abandonParts(upload: Omit<PartsUpload, "onProgress">): Promise<void> {
  const begun = upload.kept.of(upload.fileName);
  if (begun !== undefined) await abort(upload, begun);
}

async function goOnOrBegin(upload: PartsUpload): Promise<BegunUpload> {
  const { fileName, path, size, url, target, kept, clock, signal } = upload;
  const fileStamp = await stampOf(path);
  const before = kept.of(fileName);
  if (before !== undefined) {
    if (before.url === url.href && before.fileStamp === fileStamp) return before;
    await abort(upload, before);
  }
  const answer = await askS3({ method: "POST", url: withQuery(url, { uploads: "" }), target, clock }, signal);
  const uploadId = /<UploadId>([^<&\s]{1,1000})<\/UploadId>/.exec(answer.text)?.[1];
  if (answer.status !== 200 || uploadId === undefined) throw refusal(url, answer.status, answer.text);
  const partBytes = Math.max(upload.partBytes, Math.ceil(size / mostParts));
  return kept.begin(fileName, { url: url.href, uploadId, fileStamp, partBytes });
}

async function complete(upload: PartsUpload, { uploadId, parts }: BegunUpload): Promise<boolean | undefined> {
  const { url, target, clock, signal } = upload;
  const inOrder = [...parts].toSorted(([a], [b]) => a - b);
  const listed = inOrder.map(
    ([number, { etag }]) => `<Part><PartNumber>${number}</PartNumber><ETag>${escaped(etag)}</ETag></Part>`,
  );
  const body = `<CompleteMultipartUpload>${listed.join("")}</CompleteMultipartUpload>`;
  const answer = await askS3(
    { method: "POST", url: withQuery(url, { uploadId }), target, clock },
    signal,
    body,
  );
  const whole = createHash("md5");
  for (const [, { md5 }] of inOrder) whole.update(md5, "hex");
  const wanted = `${whole.digest("hex")}-${inOrder.length}`;
  const problem = errorCodeIn(answer.text);
  // An answer that got lost on the way: S3 has put it together already.
  if (problem === "NoSuchUpload" && (await lookAtStored(upload, wanted)) === "same") return true;
  // S3 begins to answer before it knows how it goes: an error may come with a 200.
  if (answer.status !== 200 || problem !== undefined) throw refusal(url, answer.status, answer.text);
  const etag = /<ETag>([^<]{1,200})<\/ETag>/.exec(answer.text)?.[1]?.replaceAll("&quot;", '"');
  const verified = sameAs(etag === undefined ? answer.headers : { ...answer.headers, etag }, wanted);
  return verified ?? (await lookAtStored(upload, wanted)) !== "other";
}

/** What is stored: by its checksum, or by its size alone where none is stated. */
async function lookAtStored(
  { url, target, clock, signal, size }: PartsUpload,
  wanted: string,
): Promise<"same" | "as large" | "other"> {
  const { status, headers } = await askS3({ method: "HEAD", url, target, clock }, signal);
  if (status !== 200 || Number(headers["content-length"]) !== size) return "other";
  const isSame = sameAs(headers, wanted);
  return isSame === undefined ? "as large" : isSame ? "same" : "other";
}

async function abort(
  { fileName, target, kept, clock, signal }: Omit<PartsUpload, "onProgress">,
  { url, uploadId }: BegunUpload,
): Promise<void> {
  const ended = { method: "DELETE", url: withQuery(new URL(url), { uploadId }), target, clock } as const;
  const answer = await askS3(ended, signal).catch(() => undefined);
  if (answer !== undefined && (answer.status < 300 || answer.status === 404)) kept.forget(fileName);
}

function withQuery(url: URL, query: Readonly<Record<string, string>>): URL {
  const made = new URL(url);
  made.search = new URLSearchParams(query).toString();
  return made;
}

/** Two files of one name that follow each other differ in it. @throws OcelliError `file_not_found` */
async function stampOf(path: string): Promise<string> {
  const { size, mtimeNs, ino } = await stat(path, { bigint: true }).catch((cause: unknown) => {
    throw new OcelliError("file_not_found", "The file is not there any more.", { cause });
  });
  return `${size}-${mtimeNs}-${ino}`;
}

function escaped(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;");
}
