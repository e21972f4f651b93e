/**
 * HTTP cameras whose pictures tell when they were made. Each client gets a camera of its own, which ffmpeg makes, and everything
 * as soon as ffmpeg gives it.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { cameraArgs, type DrawnCamera } from "./drawn-cameras.ts";

export interface HttpCamera extends DrawnCamera {
  /** ffmpeg's arguments from the output's format on. */
  readonly format: readonly string[];
  readonly contentType: string;
}

export interface HttpCameras extends AsyncDisposable {
  /** In the order of the cameras. */
  readonly urls: readonly string[];
}

export async function startHttpCameras(cameras: readonly HttpCamera[]): Promise<HttpCameras> {
  const commands = await Promise.all(
    cameras.map(async ({ format, contentType, ...camera }) => {
      const { input, video, audio } = await cameraArgs(camera);
      return {
        args: [...input, ...video, ...audio, "-flush_packets", "1", ...format, "pipe:1"],
        contentType,
      };
    }),
  );
  const server = createServer((request, response) => {
    const command = commands[Number(request.url?.slice(1))];
    if (command === undefined) return void response.writeHead(404).end();
    response.writeHead(200, { "content-type": command.contentType });
    const quiet = ["--pdeathsig", "KILL", "ffmpeg", "-nostdin", "-loglevel", "error"];
    const ffmpeg = spawn("setpriv", [...quiet, ...command.args], { stdio: ["ignore", "pipe", "inherit"] });
    ffmpeg.stdout.pipe(response);
    response.on("close", () => ffmpeg.kill("SIGKILL"));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  return {
    urls: cameras.map((_, index) => `http://127.0.0.1:${port}/${index}`),
    async [Symbol.asyncDispose]() {
      server.close();
      server.closeAllConnections();
    },
  };
}
