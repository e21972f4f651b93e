/** `ocelli files list | download | delete | export` */
import { existsSync, statSync } from "node:fs";
import { basename, join } from "node:path";
import { downloadFile, partPath } from "@ocelli/client/node";
import type { ResultOf } from "@ocelli/protocol/camera-service";
import type { Command } from "commander";
import { Argument, Option } from "commander";
import { type Context, withHub } from "../context.ts";
import { Interrupted } from "../exit-codes.ts";
import type { Io } from "../io.ts";
import { ProgressLine } from "../progress.ts";
import { Results } from "../results.ts";
import { headersOf } from "../target.ts";
import { bytesText, durationText, table, timeText } from "../words.ts";

const kinds = ["recordings", "snapshots"] as const;
type Kind = (typeof kinds)[number];

interface ListOptions {
  readonly limit: string;
  readonly offset: string;
  readonly camera?: string;
}

interface ExportOptions {
  readonly format: "mp4" | "mkv" | "ts";
  readonly codec?: "copy" | "h264";
}

export function addFiles(program: Command, io: Io): void {
  const files = program.command("files").description("recordings and snapshots");
  const kind = (usage: string) => new Argument(usage).choices(kinds);

  files
    .command("list")
    .description("list files, newest first")
    .addArgument(kind("[kind]").default("recordings"))
    .option("--camera <camera>", "only of this camera")
    .option("--limit <number>", "at most so many", "50")
    .option("--offset <number>", "skip so many", "0")
    .action((of: Kind, options: ListOptions, command: Command) =>
      withHub(command, io, (context) => list(of, options, context)),
    );

  files
    .command("download")
    .description("fetch files")
    .addArgument(kind("<kind>"))
    .argument("<name...>")
    .option("-o, --output <path>", "a folder, or, for one file, what to call it; this folder otherwise")
    .action((of: Kind, names: string[], options: { output?: string }, command: Command) =>
      withHub(command, io, async (context) => {
        const results = new Results(context, ({ path }: Downloaded) => `${path}\n`);
        const place = placeOf(options.output, names.length > 1);
        await results.inTurn(names, (name) => download(of, name, place, context));
      }),
    );

  files
    .command("delete")
    .description("delete files on the hub")
    .addArgument(kind("<kind>"))
    .argument("<name...>")
    .action((of: Kind, names: string[], _options, command: Command) =>
      withHub(command, io, async (context) => {
        const { connection } = context;
        const method = of === "snapshots" ? "delete_snapshot" : "delete_recording";
        const results = new Results(
          context,
          (deleted: ResultOf<typeof method>) => `${deleted.filename} deleted\n`,
        );
        await results.inTurn(names, (filename) => connection.call(method, { filename }));
      }),
    );

  files
    .command("export")
    .description("make a copy of a recording in another container or codec, on the hub")
    .argument("<name>")
    .addOption(new Option("--format <format>", "container").choices(["mp4", "mkv", "ts"]).default("mp4"))
    .addOption(
      new Option(
        "--codec <codec>",
        "copy keeps the pictures as they are; mp4 is made H.264 by default",
      ).choices(["copy", "h264"]),
    )
    .action((name: string, options: ExportOptions, command: Command) =>
      withHub(command, io, (context) => exportFile(name, options, context)),
    );
}

async function list(of: Kind, options: ListOptions, { connection, camera, print }: Context): Promise<void> {
  const page = await connection.call(of === "snapshots" ? "list_snapshots" : "list_recordings", {
    limit: options.limit,
    offset: options.offset,
    ...(options.camera === undefined ? {} : { device: await camera(options.camera) }),
  });
  print(page, () => {
    if (page.files.length === 0) return page.total === 0 ? `No ${of} yet.\n` : "No more files.\n";
    const rows = page.files.map((file) => [
      file.filename,
      bytesText(file.file_size),
      file.duration === null ? "-" : durationText(file.duration),
      file.resolution ?? "-",
      file.codec,
      timeText(file.created_time),
    ]);
    const shown = page.offset + page.files.length;
    const more = shown < page.total ? `${page.total - shown} more: --offset ${shown}\n` : "";
    return table(["FILE", "SIZE", "LENGTH", "PICTURE", "CODEC", "BEGUN"], rows) + more;
  });
}

interface Downloaded {
  readonly filename: string;
  readonly path: string;
}

/** Where a file of that name goes. A path that is no folder yet is one when several files go there, or it ends so. */
function placeOf(output: string | undefined, areSeveral: boolean): (filename: string) => string {
  if (output === undefined) return basename;
  const isFolder = areSeveral || output.endsWith("/") || isFolderAlready(output);
  return isFolder ? (filename) => join(output, basename(filename)) : () => output;
}

function isFolderAlready(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
}

async function download(
  of: Kind,
  name: string,
  place: (filename: string) => string,
  { connection, target, note, io }: Context,
): Promise<Downloaded> {
  // Asked first, so that a name without its extension will do.
  const { filename } = await connection.call(
    of === "snapshots" ? "get_snapshot_info" : "get_recording_info",
    {
      filename: name,
    },
  );
  const progress = new ProgressLine(io);
  const to = place(filename);
  const path = await downloadFile({
    baseUrl: target.baseUrl,
    kind: of === "snapshots" ? "snapshot" : "recording",
    filename,
    to,
    headers: headersOf(target),
    ca: target.ca,
    signal: io.signal,
    // An interrupted download of hours goes on where it ended.
    keepPartial: true,
    onProgress: (bytes, total) => progress.bytes(filename, bytes, total),
  })
    .catch((error: unknown) => {
      progress.end();
      const kept = keptText(filename, to);
      if (io.signal.aborted) throw new Interrupted(kept === "" ? "Interrupted." : `Interrupted. ${kept}`);
      if (kept !== "") note(kept);
      throw error;
    })
    .finally(() => progress.end());
  return { filename, path };
}

/** What came before it ended is worth having. */
function keptText(filename: string, to: string): string {
  const part = partPath(to);
  const size = existsSync(part) ? statSync(part).size : 0;
  if (size === 0) return "";
  return `${bytesText(size)} of ${filename} are kept in ${part}: the same command goes on from there.`;
}

async function exportFile(
  name: string,
  options: ExportOptions,
  { connection, print, io }: Context,
): Promise<void> {
  const progress = new ProgressLine(io);
  connection.on("export_update", (update) => progress.fraction(update.source, update.progress));
  const made = await connection
    .call(
      "export_recording",
      {
        filename: name,
        format: options.format,
        ...(options.codec === undefined ? {} : { codec: options.codec }),
      },
      { timeoutMs: 0 },
    )
    .finally(() => progress.end());
  print(made, () => `${made.filename}  ${bytesText(made.file_size)}\n`);
}
