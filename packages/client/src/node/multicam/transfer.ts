/**
 * GET_VIDEO to the disk: a temporary file beside the final one until every byte the header promised is here. The
 * protocol has no offset, so that a broken transfer begins again (spec section 7).
 */
import { constants } from "node:fs";
import { type FileHandle, mkdir, open, rename, rm, statfs } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import {
  CommandMessage,
  type FileKey,
  type FileResponse,
  parseFileHeader,
  parseStatus,
  TransferDecoder,
} from "@ocelli/protocol/multicam";
import { MultiCamError } from "./errors.ts";
import { type ExchangeOptions, encode } from "./exchange.ts";
import { type Address, type Link, openLink } from "./link.ts";
import { refusal } from "./refusal.ts";

/** Large enough that a file takes few system calls and turns of the event loop; twice as much is kept. */
const pieceBytes = 2 ** 19;
/** Bytes a second a device has to send on average: one that drips would hold whoever waits for its file for ever. */
const slowestRate = 2 ** 14;

export interface TransferOptions extends ExchangeOptions {
  /** Folder, made when missing; the device's own file name is used in it, reduced to a base name. */
  readonly folder: string;
  /** Another name for the file. */
  readonly saveAs?: string | undefined;
  /**
   * Seconds without a byte, or with less than 16 KiB for each of them, until the transfer counts as stalled; a device may
   * also take so long to begin. Default 600.
   */
  readonly stallTimeout?: number | undefined;
  readonly onProgress?: ((bytes: number, total: number) => void) | undefined;
}

export interface Transferred {
  readonly path: string;
  readonly fileName: string;
  readonly bytes: number;
}

/**
 * @throws MultiCamError `file_not_found`, `refused`, `malformed`, `stalled`, `unreachable`, `storage_failed`
 * @throws the signal's reason when it is aborted
 */
export async function fetchVideo(
  address: Address,
  file: FileKey,
  sender: { readonly deviceId: string; readonly timestamp: number },
  options: TransferOptions,
): Promise<Transferred> {
  const link = await openLink(address, { ...options, pieceBytes });
  try {
    link.send(encode(CommandMessage.getVideo(file, sender), options.dialect));
    const decoder = new TransferDecoder();
    const stall = options.stallTimeout ?? 600;
    const begun = await readHeader(link, decoder, stall);
    const fileName = safeName(begun.header, link.name);
    await makeFolder(options.folder);
    await refuseWithoutRoom(options.folder, begun.header.fileSize, fileName);
    const path = await freeName(options.folder, safe(options.saveAs ?? "") || fileName);
    await receive(link, begun, path, stall, options).catch(async (error: unknown) => {
      await rm(path, { force: true });
      throw error;
    });
    return { path, fileName, bytes: begun.header.fileSize };
  } finally {
    link.close();
  }
}

interface Begun {
  readonly header: FileResponse;
  /** Bytes of the file that came with the header. */
  readonly data: Uint8Array | undefined;
}

async function readHeader(link: Link, decoder: TransferDecoder, seconds: number): Promise<Begun> {
  const deadline = performance.now() + seconds * 1000;
  for (;;) {
    const left = Math.max(0.001, (deadline - performance.now()) / 1000);
    const chunk = await link.read(left, "GET_VIDEO", seconds);
    if (chunk === undefined) throw link.broken("closed the connection before the file");
    const [first, second] = read(link, () => decoder.push(chunk));
    if (first?.kind === "reply")
      throw refusal(
        read(link, () => parseStatus(first.text)),
        link.name,
      );
    if (first?.kind !== "header") continue;
    const header = read(link, () => parseFileHeader(first.text));
    return { header, data: second?.kind === "data" ? second.bytes : undefined };
  }
}

function read<T>(link: Link, parse: () => T): T {
  try {
    return parse();
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new MultiCamError("malformed", `The device at ${link.name} did not send a file: ${why}`, { cause });
  }
}

async function receive(
  link: Link,
  { header, data }: Begun,
  path: string,
  stall: number,
  { onProgress, signal }: TransferOptions,
): Promise<void> {
  const part = join(dirname(path), `.${basename(path)}.part`);
  const total = header.fileSize;
  const file = await disk(path, () =>
    open(part, constants.O_CREAT | constants.O_WRONLY | constants.O_TRUNC, 0o644),
  );
  try {
    let bytes = await write(file, path, 0, (data ?? new Uint8Array(0)).subarray(0, total));
    onProgress?.(bytes, total);
    const stalled = (what: string, cause?: unknown): MultiCamError =>
      new MultiCamError(
        "stalled",
        `${header.fileName} from ${link.name} stopped at ${bytes} of ${total} bytes: ${what}`,
        { cause },
      );
    let looked = { at: performance.now(), bytes };
    while (bytes < total) {
      const chunk = await link.read(stall, header.fileName).catch((error: unknown) => {
        if (!(error instanceof MultiCamError) || error.code !== "timeout") throw error;
        throw stalled(`nothing came for ${stall} s`, error);
      });
      if (chunk === undefined) {
        throw link.broken(`closed the connection after ${bytes} of ${total} bytes of ${header.fileName}`);
      }
      bytes = await write(file, path, bytes, chunk.subarray(0, total - bytes));
      onProgress?.(bytes, total);
      const seconds = (performance.now() - looked.at) / 1000;
      if (seconds < stall || bytes === total) continue;
      if (bytes - looked.bytes < slowestRate * seconds) {
        throw stalled(`only ${bytes - looked.bytes} bytes came in ${Math.round(seconds)} s`);
      }
      looked = { at: performance.now(), bytes };
    }
    signal?.throwIfAborted();
    await disk(path, () => file.sync());
    await file.close();
    await disk(path, () => rename(part, path));
  } catch (error) {
    await file.close().catch(() => undefined);
    await rm(part, { force: true });
    throw error;
  }
}

async function write(file: FileHandle, path: string, at: number, bytes: Uint8Array): Promise<number> {
  for (let from = 0; from < bytes.length; ) {
    const { bytesWritten } = await disk(path, () => file.write(bytes, from, bytes.length - from, at + from));
    from += bytesWritten;
  }
  return at + bytes.length;
}

async function makeFolder(folder: string): Promise<void> {
  await disk(folder, () => mkdir(folder, { recursive: true }));
}

/**
 * Takes a name nothing here has, by an empty file: devices give the same names, and what is here is not overwritten.
 * @throws MultiCamError `storage_failed`
 */
async function freeName(folder: string, name: string): Promise<string> {
  const dot = name.lastIndexOf(".");
  const [stem, extension] = dot > 0 ? [name.slice(0, dot), name.slice(dot)] : [name, ""];
  for (let number = 1; ; number++) {
    const path = join(folder, number === 1 ? name : `${stem}-${number}${extension}`);
    try {
      await (await open(path, "wx")).close();
      return path;
    } catch (cause) {
      const taken = cause instanceof Error && "code" in cause && cause.code === "EEXIST";
      if (taken && number < 10_000) continue;
      throw new MultiCamError("storage_failed", `${path} could not be written: ${String(cause)}`, { cause });
    }
  }
}

/** A device may claim any size: what cannot fit is refused before the disk is full. */
async function refuseWithoutRoom(folder: string, bytes: number, fileName: string): Promise<void> {
  const { bavail, bsize } = await disk(folder, () => statfs(folder));
  if (bytes <= bavail * bsize) return;
  throw new MultiCamError(
    "storage_failed",
    `${fileName} is said to be ${bytes} bytes; ${folder} has room for ${bavail * bsize}. Free some space or choose another folder`,
  );
}

async function disk<T>(path: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new MultiCamError("storage_failed", `${path} could not be written: ${why}`, { cause });
  }
}

/** A device's name for a file is never a path. */
function safeName(header: FileResponse, device: string): string {
  const name = safe(header.fileName);
  if (name !== "") return name;
  throw new MultiCamError(
    "malformed",
    `The device at ${device} names its file ${JSON.stringify(header.fileName)}`,
  );
}

function safe(name: string): string {
  const base = name.replaceAll("\\", "/").split("/").at(-1) ?? "";
  const clean = base.replaceAll(/[\p{Cc}\p{Cf}:]/gu, "").replace(/^\.+/, "");
  return Buffer.byteLength(clean) > 240 ? "" : clean;
}
