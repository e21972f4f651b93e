import { readFileSync } from "node:fs";

/** How many files a process may have open. Node raises the soft limit to the hard one by itself. */
export function limitOfFiles(): number {
  const limits = readFileSync("/proc/self/limits", "utf8");
  return Number(/^Max open files\s+(\d+)/m.exec(limits)?.[1] ?? 1024);
}
