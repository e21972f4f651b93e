/** Taking a picture, under its two names. */
import { randomUUID } from "node:crypto";
import { extname } from "node:path";
import { cameraLane } from "../lanes.ts";
import { filePath, snapshotTaken } from "../shapes-media.ts";
import type { MethodImplementation } from "./method.ts";

export const takeSnapshot: MethodImplementation<"take_snapshot"> = {
  lane: ({ device }, { cameras }) => cameraLane(cameras.find(device).id),
  async run(params, { dialect, role }, { cameras, snapshots, library, clock, links }) {
    const camera = cameras.find(params.device);
    const entry = await snapshots.take({
      cameraId: camera.id,
      format: pictureFormat(params.format, params.filename),
      ...(params.filename === undefined ? {} : { filename: params.filename }),
      ...(params.quality === undefined ? {} : { quality: params.quality }),
    });
    const path = filePath(entry, library.folder("snapshot"), role === "admin");
    return snapshotTaken(entry, randomUUID(), path, {
      names: dialect.names,
      nowUs: clock.wallUs(),
      camera: camera.view(),
      spelled: params.device,
      sign: (link) => links.sign(link),
    });
  },
};

/** The format asked for, else the one the file name says. */
function pictureFormat(format: string | undefined, filename: string | undefined): "jpg" | "png" {
  const wanted =
    format ??
    extname(filename ?? "")
      .slice(1)
      .toLowerCase();
  return wanted === "png" ? "png" : "jpg";
}
