import { spawn } from "node:child_process";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

export interface NetworkCameras extends AsyncDisposable {
  /** Base URLs without a path. */
  readonly rtsp: string;
  /** Asks for admin:s3cret. */
  readonly lockedHost: string;
  readonly http: string;
}

/** Starts the RTSP and HTTP cameras of `rtsp_server.py` (GStreamer, Debian's python3). */
export async function startNetworkCameras(): Promise<NetworkCameras> {
  const script = join(dirname(fileURLToPath(import.meta.url)), "rtsp_server.py");
  const server = spawn("/usr/bin/python3", [script], { stdio: ["pipe", "pipe", "pipe"] });
  const errors: string[] = [];
  createInterface({ input: server.stderr }).on("line", (line) => errors.push(line));
  const exited = new Promise<void>((resolve) => server.on("close", () => resolve()));
  const ports = await new Promise<{ rtsp: number; locked: number; http: number }>((resolve, reject) => {
    createInterface({ input: server.stdout }).on("line", (line) => resolve(JSON.parse(line)));
    void exited.then(() => reject(new Error(`the RTSP server ended: ${errors.join("\n")}`)));
  });
  return {
    rtsp: `rtsp://127.0.0.1:${ports.rtsp}`,
    lockedHost: `127.0.0.1:${ports.locked}`,
    http: `http://127.0.0.1:${ports.http}`,
    async [Symbol.asyncDispose]() {
      server.stdin.end();
      const timer = setTimeout(() => server.kill("SIGKILL"), 5_000);
      await exited;
      clearTimeout(timer);
    },
  };
}
