/** `ocelli cameras`; its further commands are in `camera-settings.ts`. */
import type { Command } from "commander";
import { withHub } from "../context.ts";
import type { Io } from "../io.ts";
import { durationText, table } from "../words.ts";
import { addCameraSettings } from "./camera-settings.ts";

export function addCameras(program: Command, io: Io): void {
  const cameras = program.command("cameras").description("list the cameras of the hub; set one up");
  addCameraSettings(cameras, io);
  cameras.action((_options, command: Command) =>
    withHub(command, io, async ({ connection, print }) => {
      const list = await connection.call("get_camera_list");
      print(list, () => {
        if (list.cameras.length === 0) return "No cameras. Plug one in: it appears by itself.\n";
        const rows = list.cameras.map((camera) => [
          camera.device,
          camera.status,
          camera.resolution ?? "-",
          camera.fps === null ? "-" : String(camera.fps),
          camera.recording ? durationText(camera.elapsed_time) : "-",
          camera.error_message === undefined ? camera.name : `${camera.name}: ${camera.error_message}`,
        ]);
        return table(["CAMERA", "STATUS", "SIZE", "FPS", "RECORDING", "NAME"], rows);
      });
    }),
  );
}
