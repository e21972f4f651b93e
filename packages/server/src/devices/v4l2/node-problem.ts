/** Says in words why a video node cannot be used and what to do about it. */
import { readFileSync } from "node:fs";
import { userInfo } from "node:os";
import { getSystemErrorMap } from "node:util";

export interface NodeProblem {
  /** `permission_denied`, `camera_busy`, or `capture_failed`. */
  readonly code: string;
  readonly message: string;
}

export interface NodeOwner {
  readonly gid: number;
  /** Permission bits of the node. */
  readonly mode: number;
}

const groupMayReadAndWrite = 0o060;

export function nodeProblem(
  node: string,
  errno: number,
  operation: string,
  owner: NodeOwner | undefined,
  groupFile = "/etc/group",
): NodeProblem {
  const [name, words] = getSystemErrorMap().get(-errno) ?? [`error ${errno}`, "unknown error"];
  switch (name) {
    case "EACCES":
    case "EPERM":
      return { code: "permission_denied", message: permissionMessage(node, owner, groupFile) };
    case "EBUSY":
      return {
        code: "camera_busy",
        message: `${node} is in use by another program (see "fuser -v ${node}"). Close that program; the camera is then picked up by itself.`,
      };
    case "ETIMEDOUT":
      return {
        code: "capture_failed",
        message: `The driver of ${node} does not answer. Unplug the camera and plug it in again.`,
      };
    default:
      return {
        code: "capture_failed",
        message: `${node} cannot be used: ${words} (${name} from ${operation}). It is tried again; unplug the camera and plug it in again if this stays.`,
      };
  }
}

function permissionMessage(node: string, owner: NodeOwner | undefined, groupFile: string): string {
  const user = userName();
  if (
    owner === undefined ||
    (owner.mode & groupMayReadAndWrite) !== groupMayReadAndWrite ||
    owner.gid === 0
  ) {
    return `The user ${user} may not open ${node}, and neither may a group. Add a udev rule that gives video nodes to the group video with mode 0660, then add the user to it: sudo usermod -aG video ${user}; then log in again or restart the service.`;
  }
  const group = groupName(owner.gid, groupFile) ?? String(owner.gid);
  return `The user ${user} may not open ${node}, which belongs to the group ${group}. Run: sudo usermod -aG ${group} ${user}; then log in again or restart the service.`;
}

function userName(): string {
  try {
    return userInfo().username;
  } catch {
    // A container may run a uid that has no name.
    return String(process.getuid?.() ?? "running the hub");
  }
}

function groupName(gid: number, groupFile: string): string | undefined {
  try {
    for (const line of readFileSync(groupFile, "utf8").split("\n")) {
      const [name, , id] = line.split(":");
      if (id === String(gid)) return name;
    }
  } catch {
    // No such file in a minimal container: the number has to do.
  }
  return undefined;
}
