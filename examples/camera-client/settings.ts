/** Which service the examples talk to, from the environment. In a program of your own, write it down instead. */
import type { CameraClientOptions } from "@ocelli/client";

const { env } = process;

export const options: CameraClientOptions = {
  host: env.CAMERA_SERVICE_HOST ?? "localhost",
  port: Number(env.CAMERA_SERVICE_PORT ?? 8080),
  authType: env.CAMERA_SERVICE_JWT_TOKEN ? "jwt" : "api_key",
  authToken: env.CAMERA_SERVICE_JWT_TOKEN,
  apiKey: env.CAMERA_SERVICE_API_KEY,
};

export const device = env.CAMERA_SERVICE_DEVICE ?? "/dev/video0";

/** How long the examples record and watch. */
export const seconds = Number(env.CAMERA_SERVICE_SECONDS ?? 20);
