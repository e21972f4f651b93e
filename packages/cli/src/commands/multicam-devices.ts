/** Which MultiCam devices a command means, and what each of them did. */
import { readFileSync } from "node:fs";
import { isIP } from "node:net";
import {
  type DeviceResult,
  MultiCamController,
  type MultiCamDevice,
  MultiCamError,
  nameOfDevice,
} from "@ocelli/client/node";
import { messageOf, OcelliError } from "@ocelli/protocol";
import type { Command } from "commander";
import { Option } from "commander";
import { type Output, outputOf } from "../context.ts";
import { CommandError, failureOf } from "../exit-codes.ts";
import type { Io } from "../io.ts";
import { harmless } from "../words.ts";

export interface DeviceOptions {
  readonly list?: string;
}

export const deviceHelp = "<host>[:port] of a device (port 8080 otherwise)";

/** A command that takes devices on its line and from a file. */
export function addForMany(parent: Command, name: string, description: string): Command {
  return parent
    .command(name)
    .description(description)
    .argument("[device...]", deviceHelp)
    .addOption(
      new Option("--list <file>", "devices from a file: one a line, <host>[:port] and a name if you like"),
    );
}

interface Address {
  readonly host: string;
  readonly port?: number;
  readonly name?: string;
}

/** Runs `work` with a controller that has the devices of the command line. Ctrl-C gives up what runs. */
export async function withDevices(
  addresses: readonly string[],
  options: DeviceOptions,
  command: Command,
  io: Io,
  work: (controller: MultiCamController, output: Output) => Promise<void>,
): Promise<void> {
  const listed = options.list === undefined ? [] : readList(options.list);
  const all = [...addresses.map((text) => addressOf(text)), ...listed];
  if (all.length === 0) {
    throw new OcelliError("invalid_params", "Name devices as <host>[:port], or a file of them with --list.");
  }
  await withController(async (controller) => {
    for (const address of all) controller.add(address);
    await work(controller, outputOf(command, io));
  });
}

/** Closes it afterwards. */
export async function withController(work: (controller: MultiCamController) => Promise<void>): Promise<void> {
  const controller = new MultiCamController({ deviceId: "ocelli-cli" });
  try {
    await work(controller);
  } catch (error) {
    throw asCommandError(error);
  } finally {
    await controller.close();
  }
}

/** `192.168.1.5`, `phone.local:8081`, `[fe80::1]:8080`. @throws OcelliError `invalid_params` */
export function addressOf(text: string, name?: string): Address {
  const match = /^(?:\[([^\]]+)\]|([^:\s[\]]+))(?::(\d{1,5}))?$/.exec(text);
  const host = match?.[1] ?? match?.[2] ?? (isIP(text) === 6 ? text : undefined);
  const port = match?.[3] === undefined ? undefined : Number(match[3]);
  if (host === undefined || (port !== undefined && (port < 1 || port > 65_535))) {
    throw new OcelliError(
      "invalid_params",
      `"${text}" is no address of a device. Write <host> or <host>:<port>.`,
    );
  }
  return { host, ...(port === undefined ? {} : { port }), ...(name === undefined ? {} : { name }) };
}

function readList(path: string): Address[] {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    throw new OcelliError(
      "invalid_params",
      `The list of devices ${path} cannot be read: ${messageOf(error)}.`,
    );
  }
  const lines = text.split("\n").map((line) => line.replace(/#.*$/, "").trim());
  return lines
    .filter((line) => line !== "")
    .map((line) => {
      const [address = "", ...words] = line.split(/\s+/);
      return addressOf(address, words.length === 0 ? undefined : words.join(" "));
    });
}

/**
 * What each device did: a line each for people, or all of them as JSON. What failed is told after what did not; the last
 * failure is thrown.
 */
export function printResults<T>(
  results: readonly DeviceResult<T>[],
  { json, print, io }: Output,
  shape: (value: T, device: MultiCamDevice) => Readonly<Record<string, unknown>>,
  text: (value: T, device: MultiCamDevice) => string,
): void {
  const failed = results.flatMap((result) => (result.ok ? [] : [named(result)]));
  const last = failed.at(-1);
  if (json) {
    print(
      results.map((result) => asJson(result, shape)),
      () => "",
    );
  } else {
    for (const { device, ...result } of results)
      if (result.ok) io.out(`${harmless(`${nameOfDevice(device)}: ${text(result.value, device)}`)}\n`);
    for (const error of failed.slice(0, -1)) io.err(`ocelli: ${harmless(failureOf(error).message)}\n`);
  }
  if (last !== undefined) throw last;
}

/** Said with the name the device was given: addresses look alike. */
function named({ device, error }: DeviceResult<unknown> & { readonly ok: false }): CommandError {
  const { name } = device;
  const message = error.message.includes(name) ? error.message : `${name}: ${error.message}`;
  return new CommandError(codeOf(error), message);
}

function asJson<T>(
  result: DeviceResult<T>,
  shape: (value: T, device: MultiCamDevice) => Readonly<Record<string, unknown>>,
): Readonly<Record<string, unknown>> {
  const { host, port, deviceId } = result.device;
  const device = { host, port, device_id: deviceId ?? null };
  if (result.ok) return { ...device, ok: true, ...shape(result.value, result.device) };
  const { error } = result;
  const code = error instanceof MultiCamError ? error.code : codeOf(error);
  return { ...device, ok: false, error: { code, message: error.message } };
}

/** Codes of devices are not those of a hub: one that cannot be talked with is told as such. */
function codeOf(error: Error): string {
  if (error instanceof OcelliError) return error.code;
  if (!(error instanceof MultiCamError)) return "failed";
  return error.retryable ? "device_unreachable" : error.code;
}

function asCommandError(error: unknown): unknown {
  return error instanceof MultiCamError ? new CommandError(codeOf(error), error.message) : error;
}
