import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { type HubOptions, type RunningHub, startHub } from "../../test/harness/hub.ts";

let configs = 0;

/** A hub whose cameras 100, 101, ... play the given files over and over. */
export function startFileHub(folder: string, files: readonly string[]): Promise<RunningHub> {
  return startUrlHub(
    folder,
    files.map((file) => pathToFileURL(file).href),
  );
}

/** A hub with cameras 100, 101, ... at these URLs. */
export function startUrlHub(
  folder: string,
  urls: readonly string[],
  options: HubOptions = {},
): Promise<RunningHub> {
  const cameras = urls.map((url, index) => ({
    url,
    name: `source ${index}`,
    number: 100 + index,
    audio: false,
  }));
  const config = join(folder, `cameras-${++configs}.yaml`);
  // JSON is YAML.
  writeFileSync(config, JSON.stringify({ virtualCamera: "never", cameras }));
  return startHub({ ...options, env: { OCELLI_CONFIG: config, ...options.env } });
}

/** A hub with one virtual camera, camera100. */
export function startVirtualHub(
  codec: "mjpeg" | "h264",
  env: Record<string, string | undefined> = {},
): Promise<RunningHub> {
  return startHub({
    env: {
      OCELLI_DEVICES_V4L2: "false",
      OCELLI_VIRTUAL_CAMERA: "always",
      OCELLI_VIRTUAL_CODEC: codec,
      ...env,
    },
  });
}
