/** `ocelli streams list | start | stop | url` */
import type { Command } from "commander";
import { cameraHelp } from "../camera-names.ts";
import { withHub } from "../context.ts";
import type { Io } from "../io.ts";
import { stateText } from "../style.ts";
import { bytesText, countText, durationText, spanText, table } from "../words.ts";

const cameraArgument = ["<camera>", cameraHelp] as const;

export function addStreams(program: Command, io: Io): void {
  const streams = program.command("streams").description("live pictures of cameras");

  streams
    .command("list", { isDefault: true })
    .description("list what is being captured, and for how many")
    .action((_options, command: Command) =>
      withHub(command, io, async ({ connection, print, style }) => {
        const [list, { cameras }] = await Promise.all([
          connection.call("get_streams"),
          connection.call("get_camera_list"),
        ]);
        print(list, () => {
          if (list.length === 0) return "No cameras. Plug one in: it appears by itself.\n";
          const rows = list.map(({ name, ready, readers, bytes_sent }) => [
            name,
            stateText(style, ready ? "ACTIVE" : "idle"),
            String(readers),
            bytesText(bytes_sent),
            cameras.find(({ device }) => device === name)?.name ?? "",
          ]);
          return table(["STREAM", "STATE", "READERS", "SENT", "NAME"], rows);
        });
      }),
    );

  streams
    .command("start")
    .description("keep a camera running for viewers to come, and print where to look")
    .argument(...cameraArgument)
    .action((name: string, _options, command: Command) =>
      withHub(command, io, async ({ connection, camera, print, aside }) => {
        const device = await camera(name);
        const started = await connection.call("start_streaming", { device }, { timeoutMs: 0 });
        print(started, () => `${started.stream_url}\n`);
        aside(
          `${started.stream_name} runs until \`ocelli streams stop ${started.stream_name}\`, or for ${spanText(Number.parseFloat(started.auto_close_after))} without a viewer. The address opens without a key for some minutes.`,
        );
      }),
    );

  streams
    .command("stop")
    .description("let a camera rest that `streams start` keeps running")
    .argument(...cameraArgument)
    .action((name: string, _options, command: Command) =>
      withHub(command, io, async ({ connection, camera, print }) => {
        const stopped = await connection.call("stop_streaming", { device: await camera(name) });
        print(stopped, () =>
          stopped.start_time === null
            ? `${stopped.stream_name}: ${stopped.message}\n`
            : `${stopped.stream_name}: ${stopped.message} after ${durationText(stopped.duration)}\n`,
        );
      }),
    );

  streams
    .command("url")
    .description("print an address for a browser or a player, good for some minutes")
    .argument(...cameraArgument)
    .action((name: string, _options, command: Command) =>
      withHub(command, io, async ({ connection, camera, print, aside }) => {
        const found = await connection.call("get_stream_url", { device: await camera(name) });
        print(found, () => `${found.stream_url}\n`);
        if (!found.available) aside(`${found.stream_name} has no pictures now.`);
        else if (found.active_consumers > 0) {
          aside(`${countText(found.active_consumers, "reader")} of ${found.stream_name} now.`);
        }
      }),
    );
}
