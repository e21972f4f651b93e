/**
 * Will the USB bandwidth do? All by sysfs, so that neither root nor lsusb is needed. Hints only: what a camera will
 * really reserve is decided when it streams.
 */
import { readFileSync, realpathSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { type Finding, ok, warning } from "./finding.ts";

interface UsbCamera {
  /** First node of the device, `video0`. */
  readonly node: string;
  readonly name: string;
  /** Folder of the USB device: one camera, whatever number of nodes. */
  readonly device: string;
  /** `usb1`: all devices below it share its bandwidth. */
  readonly bus: string;
  /** Mbit/s as connected. */
  readonly speed: number;
  /** The device could do SuperSpeed. */
  readonly couldBeFaster: boolean;
}

const highSpeed = 480;
const superSpeed = 5000;
/** Of 480 Mbit/s a bus gives 80 % to cameras, and one that sends 1920x1080 in MJPEG often reserves nearly half of that. */
const camerasPerHighSpeedBus = 2;

/** @param nodes such as `video0`, only those that capture */
export function checkUsb(nodes: readonly string[], sysDir = "/sys"): Finding[] {
  const cameras = new Map<string, UsbCamera>();
  for (const node of nodes) {
    const camera = usbCameraOf(node, sysDir);
    if (camera !== undefined && !cameras.has(camera.device)) cameras.set(camera.device, camera);
  }
  if (cameras.size === 0) return [];
  const findings = [...cameras.values()].flatMap(speedFinding);
  const buses = Map.groupBy(cameras.values(), (camera) => camera.bus);
  for (const [bus, sharing] of buses) {
    const speed = Math.max(...sharing.map((camera) => camera.speed));
    if (speed > highSpeed || sharing.length <= camerasPerHighSpeedBus) continue;
    const names = sharing.map((camera) => `/dev/${camera.node}`).join(", ");
    findings.push(
      warning(
        "USB bandwidth",
        `${sharing.length} cameras (${names}) share one USB 2 bus (${bus}); when they stream at once, some may fail with "No space left on device".`,
        "Plug some into ports of another controller (lsusb -t shows which port is on which bus; a hub does not help), use MJPG or H264 instead of YUYV (devices.format), smaller pictures (devices.size) or lower rates (devices.fps). Cameras that reserve more than they send are tamed by: echo 'options uvcvideo quirks=128' | sudo tee /etc/modprobe.d/uvcvideo.conf, then re-plug them after sudo modprobe -r uvcvideo.",
        { bus, cameras: sharing.map((camera) => camera.node) },
      ),
    );
  }
  if (findings.length > 0) return findings;
  const where = [...buses].map(([bus, sharing]) => `${sharing.length} on ${bus}`).join(", ");
  return [ok("USB bandwidth", `USB cameras: ${where}`, { cameras: [...cameras.values()] })];
}

function speedFinding(camera: UsbCamera): Finding[] {
  const { node, name, speed } = camera;
  const check = `USB /dev/${node}`;
  if (speed < highSpeed) {
    return [
      warning(
        check,
        `${name} is connected at ${speed} Mbit/s, enough only for the smallest pictures.`,
        "Use another cable or port; old hubs and long cables slow a camera down.",
        { ...camera },
      ),
    ];
  }
  if (speed < superSpeed && camera.couldBeFaster) {
    return [
      warning(
        check,
        `${name} could do USB 3 but is connected at ${speed} Mbit/s.`,
        "Use a USB 3 port (often blue) and cable; plug it in quickly, for the contacts of USB 2 touch first.",
        { ...camera },
      ),
    ];
  }
  return [];
}

function usbCameraOf(node: string, sysDir: string): UsbCamera | undefined {
  const base = join(sysDir, "class", "video4linux", node);
  let device: string;
  try {
    device = realpathSync(join(base, "device"));
  } catch {
    return undefined;
  }
  while (read(device, "speed") === undefined) {
    const parent = dirname(device);
    if (parent === device) return undefined;
    device = parent;
  }
  let bus = device;
  while (!/^usb\d+$/.test(basename(bus))) {
    const parent = dirname(bus);
    if (parent === bus) return undefined;
    bus = parent;
  }
  return {
    node,
    name: read(base, "name") ?? node,
    device: basename(device),
    bus: basename(bus),
    speed: Number(read(device, "speed")),
    // A device that can do SuperSpeed says 2.10 on a USB 2 port, an older one at most 2.01.
    couldBeFaster: Number(read(device, "version")) >= 2.1,
  };
}

function read(folder: string, file: string): string | undefined {
  try {
    return readFileSync(join(folder, file), "utf8").trim();
  } catch {
    return undefined;
  }
}
