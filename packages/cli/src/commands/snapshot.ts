/** `ocelli snapshot` */
import { downloadFile } from "@ocelli/client/node";
import type { Command } from "commander";
import { Option } from "commander";
import { cameraHelp } from "../camera-names.ts";
import { withHub } from "../context.ts";
import type { Io } from "../io.ts";
import { headersOf } from "../target.ts";
import { bytesText } from "../words.ts";

interface Options {
  readonly filename?: string;
  readonly format?: "jpg" | "png";
  readonly quality?: string;
  readonly output?: string;
}

export function addSnapshot(program: Command, io: Io): void {
  program
    .command("snapshot")
    .description("take a picture; the hub keeps it, --output fetches it as well")
    .argument("<camera>", cameraHelp)
    .option("--filename <name>", "name on the hub")
    .addOption(new Option("--format <format>", "picture format").choices(["jpg", "png"]))
    .option("--quality <1-100>", "JPEG quality; the camera's own picture otherwise")
    .option("-o, --output <path>", "save it here too")
    .action((named: string, options: Options, command: Command) =>
      withHub(command, io, async ({ connection, camera, target, io, print }) => {
        const { filename, format, quality, output } = options;
        const taken = await connection.call("take_snapshot", {
          device: await camera(named),
          ...(filename === undefined ? {} : { filename }),
          ...(format === undefined ? {} : { format }),
          ...(quality === undefined ? {} : { quality }),
        });
        if (output !== undefined) {
          await downloadFile({
            baseUrl: target.baseUrl,
            kind: "snapshot",
            filename: taken.filename,
            to: output,
            headers: headersOf(target),
            ca: target.ca,
            signal: io.signal,
          });
        }
        print(taken, () => {
          const saved = output === undefined ? "" : `, saved as ${output}`;
          return `${taken.filename}  ${taken.resolution}  ${bytesText(taken.file_size)}${saved}\n`;
        });
      }),
    );
}
