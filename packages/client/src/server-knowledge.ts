/**
 * What is learnt about a server while talking to it. The generations differ in how they name cameras and in a few
 * methods; nothing is asked before a call has failed for it.
 */
import { CameraServiceError, isObject } from "./errors.ts";

type Request = (method: string, params: object) => Promise<unknown>;

export class ServerKnowledge {
  readonly #request: Request;
  #devices: ReadonlySet<string> | undefined;
  #earliest: Promise<boolean> | undefined;

  constructor(request: Request) {
    this.#request = request;
  }

  /** @param answer of `get_camera_list` */
  learnList(answer: unknown): void {
    const cameras = isObject(answer) && Array.isArray(answer.cameras) ? answer.cameras.filter(isObject) : [];
    this.#devices = new Set(
      cameras
        .flatMap(({ device, device_path }) => [device, device_path])
        .filter((one) => typeof one === "string"),
    );
  }

  /** The name this server uses for a camera, as far as its list is known: `/dev/video0` and `camera0` are the same. */
  nameOf(device: string): string {
    const devices = this.#devices;
    if (devices === undefined || devices.has(device)) return device;
    const other = otherName(device);
    return other !== undefined && devices.has(other) ? other : device;
  }

  /** Another name to try after `tried` was refused; asks for the list if it is not known yet. */
  async anotherName(device: string, tried: string): Promise<string | undefined> {
    if (this.#devices !== undefined || otherName(device) === undefined) return undefined;
    try {
      this.learnList(await this.#request("get_camera_list", {}));
    } catch (error) {
      if (!(error instanceof CameraServiceError)) throw error;
      this.#devices = new Set();
    }
    const name = this.nameOf(device);
    return name === tried ? undefined : name;
  }

  /**
   * Whether this is the earliest generation: no authentication, `capture_snapshot`, a file name required to
   * record, and one recording at a time that is stopped without naming a camera.
   */
  isEarliest(): Promise<boolean> {
    this.#earliest ??= this.#request("get_supported_methods", {}).then(
      (methods) =>
        Array.isArray(methods) && methods.includes("capture_snapshot") && !methods.includes("authenticate"),
      () => false,
    );
    return this.#earliest;
  }
}

/** `/dev/video3` for `camera3` and the other way about. */
function otherName(device: string): string | undefined {
  const [, path, logical] = /^(?:\/dev\/video(\d+)|camera(\d+))$/.exec(device) ?? [];
  if (path !== undefined) return `camera${path}`;
  return logical === undefined ? undefined : `/dev/video${logical}`;
}
