/** `ocelli multicam discover | status | start | stop | files | download | upload | uploads`: devices driven from here, without a hub */
import {
  type MultiCamController,
  type MultiCamDevice,
  nameOfDevice,
  type Transferred,
} from "@ocelli/client/node";
import { OcelliError } from "@ocelli/protocol";
import { readTimestampUs } from "@ocelli/protocol/camera-service";
import type { FileMetadata, StatusResponse } from "@ocelli/protocol/multicam";
import type { Command } from "commander";
import { outputOf } from "../context.ts";
import type { Io } from "../io.ts";
import { ProgressLine } from "../progress.ts";
import { durationOf } from "../times.ts";
import { bytesText, countText, harmless, spanText, table, timeText } from "../words.ts";
import {
  addForMany,
  type DeviceOptions,
  printResults,
  withController,
  withDevices,
} from "./multicam-devices.ts";
import { addUpload } from "./multicam-upload.ts";

interface StartOptions extends DeviceOptions {
  readonly at?: string;
  readonly delay?: string;
}

interface DownloadOptions extends DeviceOptions {
  readonly folder: string;
  readonly file?: string;
}

export function addMulticam(program: Command, io: Io): void {
  const multicam = program
    .command("multicam")
    .description("drive MultiCam devices (phones, cameras) from here, without a hub");
  addDiscover(multicam, io);
  const many = (name: string, description: string): Command => addForMany(multicam, name, description);

  many("status", "what devices do, and how far off their clocks are").action(
    (devices: string[], options: DeviceOptions, command: Command) =>
      withDevices(devices, options, command, io, async (controller, output) => {
        const results = await controller.statusOf({ signal: io.signal });
        printResults(results, output, statusFacts, statusText);
      }),
  );
  many("start", "have devices begin to record at one instant")
    .option("--at <time>", "ISO 8601, seconds since 1970, or +seconds from now")
    .option("--delay <time>", "so long from now; 3s otherwise")
    .action((devices: string[], options: StartOptions, command: Command) =>
      withDevices(devices, options, command, io, async (controller, output) => {
        const at = instantOf(options);
        const begun = await controller.startRecording({ at, signal: io.signal });
        const when = timeText(new Date(begun.at * 1000).toISOString());
        printResults(
          begun.results,
          output,
          ({ status }) => ({ start_at: begun.at, status }),
          // Of an instant that is past, or of a device that has been recording before.
          ({ isRecording }) => (isRecording ? "recording" : `armed for ${when}`),
        );
      }),
    );
  many("stop", "end recordings, and wait until the files are usable").action(
    (devices: string[], options: DeviceOptions, command: Command) =>
      withDevices(devices, options, command, io, async (controller, output) => {
        const results = await controller.stopRecording({ signal: io.signal });
        printResults(
          results,
          output,
          ({ fileId, fileName, fileSize }) => ({
            ...{ file_id: fileId ?? null, file_name: fileName ?? null, file_size: fileSize ?? null },
          }),
          ({ fileId, fileName, fileSize }) =>
            [fileName ?? fileId ?? "stopped", fileSize ? bytesText(fileSize) : ""].join("  ").trimEnd(),
        );
      }),
  );
  many("files", "list the files of devices, newest first").action(
    (devices: string[], options: DeviceOptions, command: Command) =>
      withDevices(devices, options, command, io, async (controller, output) => {
        const results = await controller.each(({ id }) => controller.listFiles(id, { signal: io.signal }));
        printResults(
          results,
          output,
          (files) => ({ files: files.map(fileFacts) }),
          (files) => countText(files.length, "file"),
        );
        if (output.json) return;
        const rows = results.flatMap((result) =>
          result.ok ? result.value.map((file) => fileRow(result.device, file)) : [],
        );
        if (rows.length > 0) io.out(`\n${table(["DEVICE", "FILE", "SIZE", "MADE"], rows)}`);
      }),
  );
  many("download", "fetch the newest file of devices, or the one named")
    .option("-o, --folder <folder>", "where to", ".")
    .option("--file <name>", "name or id of the file (for one device)")
    .action((devices: string[], options: DownloadOptions, command: Command) =>
      withDevices(devices, options, command, io, async (controller, output) => {
        const progress = new ProgressLine(io);
        const results = await controller
          .each(({ id, name }) =>
            download(controller, id, options, io, (bytes, total) => progress.bytes(name, bytes, total)),
          )
          .finally(() => progress.end());
        printResults(
          results,
          output,
          ({ path, bytes }) => ({ path, bytes }),
          ({ path, bytes }) => `${path}  ${bytesText(bytes)}`,
        );
      }),
    );
  addUpload(multicam, io);
}

function addDiscover(multicam: Command, io: Io): void {
  multicam
    .command("discover")
    .description("look for devices in this machine's networks (mDNS)")
    .option("--for <time>", "how long to listen", "5s")
    .option(
      "--interface <which>",
      "name or address of the interface to ask on; the system's choice otherwise",
    )
    .action(async (options: { for: string; interface?: string }, command: Command) => {
      const { print } = outputOf(command, io);
      await withController(async (controller) => {
        const found = await controller.discover({
          seconds: durationOf(options.for) ?? 5,
          signal: io.signal,
          ...(options.interface === undefined ? {} : { interface: options.interface }),
        });
        const facts = found.map(({ host, port, name, deviceId }) => ({
          ...{ host, port, name, device_id: deviceId ?? null },
        }));
        print({ devices: facts, total: facts.length }, () =>
          facts.length === 0
            ? "No device answered.\n"
            : table(
                ["DEVICE", "ADDRESS"],
                facts.map(({ name, host, port }) => [name, `${host}:${port}`]),
              ),
        );
      });
    });
}

async function download(
  controller: MultiCamController,
  id: string,
  { folder, file }: DownloadOptions,
  { signal }: Io,
  onProgress: (bytes: number, total: number) => void,
): Promise<Transferred> {
  if (file !== undefined) {
    return controller.download(id, { fileId: file, fileName: file }, { folder, signal, onProgress });
  }
  const [newest] = await controller.listFiles(id, { signal });
  if (newest === undefined)
    throw new OcelliError("file_not_found", `${nameOfDevice(controller.device(id))} has no file.`);
  return controller.download(id, newest, { folder, signal, onProgress });
}

/** Unix seconds by this machine's clock, as devices that ask the same time servers have it. */
function instantOf({ at, delay }: StartOptions): number | undefined {
  if (at !== undefined && delay !== undefined) {
    throw new OcelliError("invalid_params", "--at and --delay say the same: give one of them.");
  }
  const ahead = delay === undefined ? /^\+(\d+(?:\.\d+)?)$/.exec(at ?? "")?.[1] : String(durationOf(delay));
  if (ahead !== undefined) return Date.now() / 1000 + Number(ahead);
  if (at === undefined) return undefined;
  const us = readTimestampUs(at);
  if (us !== undefined) return us / 1e6;
  throw new OcelliError(
    "invalid_params",
    `"${at}" is no time. Write ISO 8601, seconds since 1970, or +seconds.`,
  );
}

function statusFacts(status: StatusResponse, { clockOffset, roundTrip }: MultiCamDevice) {
  return {
    ...{ status: status.status, message: status.message ?? null },
    is_recording: status.isRecording,
    battery_level: status.batteryLevel ?? null,
    device_type: status.deviceType ?? null,
    clock_offset_ms: clockOffset === undefined ? null : clockOffset * 1000,
    round_trip_ms: roundTrip === undefined ? null : roundTrip * 1000,
  };
}

function statusText(status: StatusResponse, { clockOffset, roundTrip }: MultiCamDevice): string {
  const clock =
    clockOffset === undefined || roundTrip === undefined
      ? ""
      : `clock ${(clockOffset * 1000).toFixed(0)} ms off, give or take ${(roundTrip * 500).toFixed(0)} ms`;
  const battery = status.batteryLevel === undefined ? "" : `battery ${Math.round(status.batteryLevel)} %`;
  const { deviceType = "", message = "" } = status;
  return [status.status, deviceType, battery, clock, message].filter((one) => one !== "").join("  ");
}

function fileFacts({ fileId, fileName, fileSize, creationDate }: FileMetadata) {
  return {
    ...{ file_id: fileId ?? null, file_name: fileName, file_size: fileSize },
    created_at: new Date(creationDate * 1000).toISOString(),
  };
}

function fileRow(device: MultiCamDevice, file: FileMetadata): string[] {
  const ago = Date.now() / 1000 - file.creationDate;
  return [
    nameOfDevice(device),
    harmless(file.fileName ?? file.fileId ?? "-"),
    bytesText(file.fileSize),
    `${spanText(ago)} ago`,
  ];
}
