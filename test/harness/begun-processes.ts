import { readdirSync, readFileSync } from "node:fs";

export interface BegunProcess {
  readonly pid: number;
  readonly command: string;
}

/** Processes that were begun for a hub with this data folder, itself included, whoever is their parent now. */
export function begunFor(dataDir: string): BegunProcess[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .flatMap((pid) => {
      try {
        const environment = readFileSync(`/proc/${pid}/environ`, "utf8").split("\0");
        if (!environment.includes(`OCELLI_DATA_DIR=${dataDir}`)) return [];
        const command = readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ");
        return [{ pid: Number(pid), command }];
      } catch {
        // It has ended meanwhile, or is somebody else's.
        return [];
      }
    });
}
