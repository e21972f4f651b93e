/** `ocelli multicam upload | uploads`: files that devices bring to a cloud by themselves. */
import type { Uploads } from "@ocelli/client/node";
import { OcelliError } from "@ocelli/protocol";
import type { CloudTarget, UploadItem } from "@ocelli/protocol/multicam";
import type { Command } from "commander";
import type { Io } from "../io.ts";
import { bytesText } from "../words.ts";
import { addForMany, type DeviceOptions, deviceHelp, printResults, withDevices } from "./multicam-devices.ts";

const credentialHelp = `
To s3:// the device uploads with temporary credentials, which it is given: it and whoever hears the network can use them until
they expire. They are taken from AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN and AWS_REGION.`;

export function addUpload(multicam: Command, io: Io): void {
  multicam
    .command("upload")
    .description("have a device upload a file by itself")
    .argument("<device>", deviceHelp)
    .argument("<file>", "name or id, as `multicam files` lists it")
    .argument("<url>", "presigned address to put it to, or s3://<bucket>/<key>")
    .addHelpText("after", credentialHelp)
    .action((device: string, file: string, url: string, _options, command: Command) =>
      withDevices([device], {}, command, io, async (controller, output) => {
        const target = targetOf(url, io.env);
        const key = { fileId: file, fileName: file };
        const results = await controller.each(({ id }) =>
          controller.uploadToCloud(id, key, target, { signal: io.signal }),
        );
        printResults(
          results,
          output,
          ({ status }) => ({ status }),
          ({ status }) => status,
        );
      }),
    );
  addForMany(multicam, "uploads", "how the uploads of devices go").action(
    (devices: string[], options: DeviceOptions, command: Command) =>
      withDevices(devices, options, command, io, async (controller, output) => {
        const results = await controller.each(({ id }) => controller.uploads(id, { signal: io.signal }));
        printResults(
          results,
          output,
          ({ running, failed }) => ({ running: running.map(itemFacts), failed: failed.map(itemFacts) }),
          uploadsText,
        );
      }),
  );
}

/** @throws OcelliError `invalid_params` */
function targetOf(url: string, env: Io["env"]): { readonly uploadUrl: string } | CloudTarget {
  if (/^https?:\/\/[^/]/i.test(url) && URL.canParse(url)) return { uploadUrl: url };
  const [, s3Bucket, s3Key] = /^s3:\/\/([^/]+)\/(.+)$/.exec(url) ?? [];
  if (s3Bucket === undefined || s3Key === undefined) {
    throw new OcelliError(
      "invalid_params",
      `"${url}" is no place to upload to. Write a presigned https:// address, or s3://<bucket>/<key>.`,
    );
  }
  const of = (name: string): string => {
    const value = env[name];
    if (value !== undefined && value !== "") return value;
    throw new OcelliError(
      "invalid_params",
      `${name} is not set: uploads to s3:// need temporary credentials in the environment.`,
    );
  };
  return {
    ...{ s3Bucket, s3Key },
    awsAccessKeyId: of("AWS_ACCESS_KEY_ID"),
    awsSecretAccessKey: of("AWS_SECRET_ACCESS_KEY"),
    awsSessionToken: of("AWS_SESSION_TOKEN"),
    awsRegion: of("AWS_REGION"),
  };
}

/** Without the address, which is a credential. */
function itemFacts(item: UploadItem): Readonly<Record<string, unknown>> {
  return {
    file_name: item.fileName,
    file_size: item.fileSize,
    bytes_uploaded: item.bytesUploaded,
    status: item.status,
    error: item.error ?? null,
  };
}

function uploadsText({ running, failed }: Uploads): string {
  const lines = [
    ...running.map(
      ({ fileName, status, fileSize, uploadProgress }) =>
        `${fileName} ${status}, ${Math.floor(uploadProgress)} % of ${bytesText(fileSize)}`,
    ),
    ...failed.map(({ fileName, error }) => `${fileName} failed${error === undefined ? "" : `: ${error}`}`),
  ];
  return lines.length === 0 ? "nothing to upload" : lines.join("; ");
}
