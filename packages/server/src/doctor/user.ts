/** The user this process runs as, by name where there is one: a container may run a number without a name. */
import { userInfo } from "node:os";

export function userName(): string {
  try {
    return userInfo().username;
  } catch {
    return String(process.getuid?.() ?? "running this");
  }
}
