/** What this page knows of the hub's answers. */
import { storedCredential } from "./credential.ts";
import { isRecord, type Params, type Rpc } from "./rpc.ts";

export interface CameraState {
  readonly id: string;
  readonly name: string;
  readonly status: string;
  readonly reason: string;
  readonly resolution: string;
  readonly fps: number | undefined;
  readonly isRecording: boolean;
  readonly recordingForS: number;
}

export function cameraIn(value: unknown): CameraState | undefined {
  if (!isRecord(value)) return undefined;
  const id = textIn(value, "camera_id") || textIn(value, "device");
  if (id === "") return undefined;
  return {
    id,
    name: textIn(value, "name") || id,
    status: textIn(value, "status"),
    reason: textIn(value, "error_message"),
    resolution: textIn(value, "resolution"),
    fps: typeof value.fps === "number" ? value.fps : undefined,
    isRecording: value.recording === true,
    recordingForS: typeof value.elapsed_time === "number" ? value.elapsed_time : 0,
  };
}

export async function cameraList(rpc: Rpc): Promise<CameraState[]> {
  const answer = await rpc.call("get_camera_list");
  const cameras = isRecord(answer) && Array.isArray(answer.cameras) ? answer.cameras : [];
  return cameras.map(cameraIn).filter((camera) => camera !== undefined);
}

export interface MediaFile {
  readonly filename: string;
  readonly bytes: number;
  readonly modifiedAt: Date;
  readonly url: string;
  readonly durationS: number | undefined;
}

export async function latestFiles(
  rpc: Rpc,
  kind: "recordings" | "snapshots",
  limit: number,
): Promise<MediaFile[]> {
  const answer = await rpc.call(`list_${kind}`, { limit });
  const files = isRecord(answer) && Array.isArray(answer.files) ? answer.files : [];
  return files.filter(isRecord).map((file) => ({
    filename: textIn(file, "filename"),
    bytes: Number(file.file_size),
    modifiedAt: new Date(textIn(file, "modified_time")),
    url: textIn(file, "download_url"),
    durationS: typeof file.duration === "number" ? file.duration : undefined,
  }));
}

export interface LiveLinks {
  readonly mse: string;
  readonly mjpeg: string;
}

/** Links that need no headers, which neither a WebSocket nor an image of a page can send. */
export async function liveLinks(cameraId: string): Promise<LiveLinks> {
  const credential = storedCredential();
  const response = await fetch(`/api/live-link?camera=${encodeURIComponent(cameraId)}`, {
    headers: credential === undefined ? {} : { Authorization: `Bearer ${credential}` },
    cache: "no-store",
  }).catch(() => {
    throw new Error("The hub cannot be reached.");
  });
  const answer: unknown = await response.json();
  if (!response.ok || !isRecord(answer))
    throw new Error(errorIn(answer) || `The hub answered ${response.status}`);
  return { mse: textIn(answer, "mse"), mjpeg: textIn(answer, "mjpeg") };
}

export function textIn(value: Params, key: string): string {
  const found = value[key];
  return typeof found === "string" ? found : "";
}

function errorIn(answer: unknown): string {
  return isRecord(answer) && isRecord(answer.error) ? textIn(answer.error, "message") : "";
}
