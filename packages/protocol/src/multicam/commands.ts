/**
 * What a controller sends. One message in every dialect: V1 names a file by `fileId`, V2 by `fileName`; a message for a
 * device of unknown dialect carries both (spec section 4).
 */
import { z } from "zod";
import { MultiCamFormatError } from "./errors.ts";
import { optional, readAs, readObject } from "./json.ts";
import { encodeUtf8 } from "./utf8.ts";
import { CommandType as Commands, type CommandType, isCommandType } from "./vocabulary.ts";

/**
 * Which keys are written. `v1` and `v2` write exactly what the published packages do, nulls included; `both` writes every
 * key that has a value, and no null, so that the message stays small enough for devices that read once.
 */
export type Dialect = "v1" | "v2" | "both";

export interface CloudTarget {
  readonly s3Bucket: string;
  readonly s3Key: string;
  readonly awsAccessKeyId: string;
  readonly awsSecretAccessKey: string;
  readonly awsSessionToken: string;
  readonly awsRegion: string;
}

export interface CommandFields extends Partial<CloudTarget> {
  readonly command: CommandType;
  /** Unix seconds; of a start, when it shall be. */
  readonly timestamp: number;
  /** Of the sender. */
  readonly deviceId: string;
  readonly fileId?: string | undefined;
  readonly fileName?: string | undefined;
  readonly uploadUrl?: string | undefined;
}

interface Sender {
  readonly timestamp?: number | undefined;
  readonly deviceId?: string | undefined;
}

/** A string names the file as V1 does. */
export type FileKey =
  | string
  | { readonly fileId?: string | undefined; readonly fileName?: string | undefined };

const v1Keys = ["command", "timestamp", "deviceId", "fileId"] as const;
const cloudKeys = [
  "s3Bucket",
  "s3Key",
  "awsAccessKeyId",
  "awsSecretAccessKey",
  "awsSessionToken",
  "awsRegion",
] as const;
const v2Keys = ["command", "timestamp", "deviceId", "fileName", "uploadUrl", ...cloudKeys] as const;
const allKeys = [
  "command",
  "timestamp",
  "deviceId",
  "fileId",
  "fileName",
  "uploadUrl",
  ...cloudKeys,
] as const;

const text = optional(z.string().max(8192));
const commandSchema = z.object({
  command: z.string().refine(isCommandType),
  timestamp: optional(z.number()),
  deviceId: optional(z.string().max(256)),
  fileId: optional(z.string().max(1024)),
  fileName: optional(z.string().max(1024)),
  uploadUrl: text,
  s3Bucket: text,
  s3Key: text,
  awsAccessKeyId: text,
  awsSecretAccessKey: text,
  awsSessionToken: text,
  awsRegion: text,
});

export class CommandMessage {
  readonly fields: CommandFields;

  constructor(fields: CommandFields) {
    this.fields = fields;
  }

  get command(): CommandType {
    return this.fields.command;
  }

  /** Without a timestamp (or with 0, as in the published packages): now. */
  static startRecording(sender: Sender = {}): CommandMessage {
    return new CommandMessage({
      command: Commands.START_RECORDING,
      ...from({ ...sender, timestamp: sender.timestamp || undefined }),
    });
  }

  static stopRecording(sender: Sender = {}): CommandMessage {
    return new CommandMessage({ command: Commands.STOP_RECORDING, ...from(sender) });
  }

  static deviceStatus(sender: Sender = {}): CommandMessage {
    return new CommandMessage({ command: Commands.DEVICE_STATUS, ...from(sender) });
  }

  static heartbeat(sender: Sender = {}): CommandMessage {
    return new CommandMessage({ command: Commands.HEARTBEAT, ...from(sender) });
  }

  static listFiles(sender: Sender = {}): CommandMessage {
    return new CommandMessage({ command: Commands.LIST_FILES, ...from(sender) });
  }

  static uploadStatus(sender: Sender = {}): CommandMessage {
    return new CommandMessage({ command: Commands.UPLOAD_STATUS, ...from(sender) });
  }

  static getVideo(file: FileKey, sender: Sender = {}): CommandMessage {
    return new CommandMessage({ command: Commands.GET_VIDEO, ...from(sender), ...keyOf(file) });
  }

  /** @param uploadUrl a presigned address to PUT the file to */
  static uploadToCloud(file: FileKey, uploadUrl: string, sender: Sender = {}): CommandMessage {
    return new CommandMessage({
      command: Commands.UPLOAD_TO_CLOUD,
      ...from(sender),
      ...keyOf(file),
      uploadUrl,
    });
  }

  static uploadToCloudWithIam(file: FileKey, target: CloudTarget, sender: Sender = {}): CommandMessage {
    return new CommandMessage({
      command: Commands.UPLOAD_TO_CLOUD,
      ...from(sender),
      ...keyOf(file),
      ...target,
    });
  }

  toJson(dialect: Dialect = "both"): string {
    const { fields } = this;
    if (dialect === "both") {
      return JSON.stringify(Object.fromEntries(allKeys.map((key) => [key, fields[key]])));
    }
    const keys = dialect === "v1" ? v1Keys : v2Keys;
    return JSON.stringify(Object.fromEntries(keys.map((key) => [key, fields[key] ?? null])));
  }

  /** UTF-8, without a delimiter: to be written in one go, because devices read once. */
  toBytes(dialect: Dialect = "both"): Uint8Array {
    return encodeUtf8(this.toJson(dialect));
  }

  /**
   * @param options.strict as the published packages: a missing timestamp is an error too. Otherwise it is `now`.
   * @param options.now Unix seconds
   * @throws MultiCamFormatError not JSON, an unknown command, a key of a wrong type
   */
  static fromJson(
    json: string,
    options: { readonly strict?: boolean; readonly now?: number } = {},
  ): CommandMessage {
    const object = readObject(json, "The command");
    const named = object.command;
    if (typeof named !== "string" || !isCommandType(named)) {
      const given = typeof named === "string" ? named.slice(0, 80) : typeof named;
      throw new MultiCamFormatError(`Unknown command: ${given}`);
    }
    const { timestamp, deviceId, ...rest } = readAs(commandSchema, object, `The command ${named}`);
    if (timestamp === undefined && options.strict === true) {
      throw new MultiCamFormatError(`The command ${named} has no timestamp`);
    }
    return new CommandMessage({
      ...Object.fromEntries(Object.entries(rest).filter(([, value]) => value !== undefined)),
      command: named,
      timestamp: timestamp ?? options.now ?? Date.now() / 1000,
      deviceId: deviceId ?? "controller",
    });
  }

  /** All six parts of an S3 target, or `undefined` when one is missing. */
  get cloudTarget(): CloudTarget | undefined {
    const { s3Bucket, s3Key, awsAccessKeyId, awsSecretAccessKey, awsSessionToken, awsRegion } = this.fields;
    if (!s3Bucket || !s3Key || !awsAccessKeyId || !awsSecretAccessKey || !awsSessionToken || !awsRegion) {
      return undefined;
    }
    return { s3Bucket, s3Key, awsAccessKeyId, awsSecretAccessKey, awsSessionToken, awsRegion };
  }
}

function from({ timestamp, deviceId }: Sender): { timestamp: number; deviceId: string } {
  return { timestamp: timestamp ?? Date.now() / 1000, deviceId: deviceId ?? "controller" };
}

function keyOf(file: FileKey): { fileId?: string; fileName?: string } {
  const { fileId, fileName } = typeof file === "string" ? { fileId: file } : { ...file };
  return {
    ...(fileId === undefined ? {} : { fileId }),
    ...(fileName === undefined ? {} : { fileName }),
  };
}
