/**
 * Start and stop of one device. Neither may be said twice blindly: where the answer got lost, the device's status or its
 * newest file tells what became of it (spec section 12).
 */
import {
  CommandMessage,
  DeviceStatus,
  type FileMetadata,
  MultiCamFormatError,
  parseFiles,
  type StatusResponse,
} from "@ocelli/protocol/multicam";
import type { Conversation } from "./conversation.ts";
import { type MultiCamDevice, nameOfDevice } from "./device.ts";
import { MultiCamError } from "./errors.ts";
import type { CallOptions, StoppedFile } from "./options.ts";
import { refusal } from "./refusal.ts";

/** @param at Unix seconds. @throws MultiCamError */
export function startDevice(
  talk: Conversation,
  device: MultiCamDevice,
  at: number,
  options: CallOptions,
): Promise<StatusResponse> {
  const command = CommandMessage.startRecording({ ...talk.sender(), timestamp: at });
  return talk.repeat(
    device,
    options,
    () => talk.ask(device, command, options),
    // The answer may be what got lost: a start is repeated only where it did not take, and is not too late.
    async (_, error) => {
      const now = await talk.status(device, options);
      if (now.isRecording || now.status === DeviceStatus.COMMAND_RECEIVED) return now;
      if (talk.now() > at) throw error;
      return undefined;
    },
  );
}

/** @param replyTimeout seconds: some devices finish the file first. @throws MultiCamError */
export async function stopDevice(
  talk: Conversation,
  device: MultiCamDevice,
  replyTimeout: number,
  options: CallOptions,
): Promise<StoppedFile> {
  const before = await talk.repeat(device, options, () => talk.status(device, options));
  // A device that does not record may never answer a stop (spec section 6.2).
  if (!before.isRecording && before.status === DeviceStatus.READY) {
    throw new MultiCamError("refused", `${nameOfDevice(device)} is not recording`, { status: before.status });
  }
  return talk.repeat<StoppedFile>(
    device,
    options,
    async () => {
      const command = CommandMessage.stopRecording(talk.sender());
      const { fileId, fileName, fileSize } = await talk.ask(device, command, options, replyTimeout);
      return { fileId, fileName, fileSize, inferred: false };
    },
    async (_, error) => {
      const now = await talk.status(device, options);
      // The file is not in the list yet: the newest one there is another.
      if (now.status === DeviceStatus.STOPPING) throw error;
      return now.isRecording ? undefined : newestFile(talk, device, options);
    },
  );
}

/** Newest first. @throws MultiCamError `refused` by devices that do not know the command */
export function filesOf(
  talk: Conversation,
  device: MultiCamDevice,
  options: CallOptions,
): Promise<readonly FileMetadata[]> {
  return talk.repeat(device, options, async () => {
    const exchanged = await talk.send(device, CommandMessage.listFiles(talk.sender()), options);
    try {
      const { files } = parseFiles(exchanged.text, { deviceId: device.id });
      return [...files].sort((a, b) => b.creationDate - a.creationDate);
    } catch (error) {
      if (!(error instanceof MultiCamFormatError)) throw error;
      throw refusal(talk.read(device, exchanged), nameOfDevice(device));
    }
  });
}

/** What a stop made whose answer was lost. */
async function newestFile(
  talk: Conversation,
  device: MultiCamDevice,
  options: CallOptions,
): Promise<StoppedFile> {
  const [newest] = await filesOf(talk, device, options);
  if (newest === undefined) {
    throw new MultiCamError("refused", `${nameOfDevice(device)} has stopped and lists no file`);
  }
  return { fileId: newest.fileId, fileName: newest.fileName, fileSize: newest.fileSize, inferred: true };
}
