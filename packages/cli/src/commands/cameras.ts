/** `ocelli cameras`, once or watched; its further commands are in `camera-settings.ts`. */
import type { CameraObject } from "@ocelli/protocol/camera-service";
import type { Command } from "commander";
import { followingHub, withHub } from "../context.ts";
import type { Io } from "../io.ts";
import { type Style, stateText } from "../style.ts";
import { aboutText, durationText, table } from "../words.ts";
import { addCameraSettings } from "./camera-settings.ts";
import { watch } from "./watch.ts";

export function addCameras(program: Command, io: Io): void {
  const cameras = program
    .command("cameras")
    .description("list the cameras of the hub; set one up")
    .option("-w, --watch", "go on, and show what changes until Ctrl-C");
  addCameraSettings(cameras, io);
  cameras.action((options: { watch?: true }, command: Command) =>
    options.watch
      ? followingHub(command, io, watch)
      : withHub(command, io, async ({ connection, print, style }) => {
          const list = await connection.call("get_camera_list");
          print(list, () => cameraTable(list.cameras, style));
        }),
  );
}

export function cameraTable(cameras: readonly CameraObject[], style: Style): string {
  if (cameras.length === 0) return "No cameras. Plug one in: it appears by itself.\n";
  const rows = cameras.map((camera) => [
    camera.device,
    stateText(style, camera.status),
    camera.resolution ?? "-",
    camera.fps === null ? "-" : String(camera.fps),
    camera.recording ? durationText(camera.elapsed_time) : "-",
    camera.error_message === undefined ? camera.name : aboutText(camera.name, camera.error_message),
  ]);
  return table(["CAMERA", "STATUS", "SIZE", "FPS", "RECORDING", "NAME"], rows);
}
