import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative, resolve, sep } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";

// Holds the floors of docs/architecture.md: a folder of the server imports only from floors below its own.

const packages = join(dirname(dirname(fileURLToPath(import.meta.url))), "packages");
const server = join(packages, "server", "src");

const floors = [
  ["log"],
  ["config", "clock", "media", "events"],
  ["ffmpeg", "store", "service", "health"],
  ["devices", "event-log"],
  ["capture", "library", "webhooks"],
  ["cameras"],
  ["recording", "snapshots", "live"],
  ["multicam", "sync"],
  ["auth", "external-streams"],
  ["metrics"],
  ["api"],
  ["doctor"],
];
const floorOf = new Map(floors.flatMap((rooms, floor) => rooms.map((room) => [room, floor] as const)));

const mayImport: Record<string, readonly string[]> = {
  protocol: [],
  client: ["@ocelli/protocol"],
  server: ["@ocelli/protocol", "@ocelli/client"],
  web: ["@ocelli/protocol", "@ocelli/client"],
  cli: ["@ocelli/protocol", "@ocelli/client", "@ocelli/server"],
};

function sources(folder: string): string[] {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) return entry.name === "testing" ? [] : sources(path);
    return entry.name.endsWith(".ts") && !entry.name.includes(".test.") ? [path] : [];
  });
}

function imports(file: string): string[] {
  const text = readFileSync(file, "utf8");
  return [...text.matchAll(/(?:from|import)\s*\(?\s*"([^"]+)"/g)].map((match) => match[1] ?? "");
}

function violations(): string[] {
  return sources(server).flatMap((file) => {
    const [room = ""] = relative(server, file).split(sep);
    if (room.endsWith(".ts")) return [];
    const floor = floorOf.get(room);
    if (floor === undefined) return [`${room}/ has no floor`];
    return imports(file)
      .filter((target) => target.startsWith("."))
      .map((target) => relative(server, resolve(dirname(file), target)).split(sep)[0] ?? "")
      .filter(
        (target) =>
          target !== "version.ts" &&
          target !== room &&
          (floorOf.get(target) ?? Number.POSITIVE_INFINITY) >= floor,
      )
      .map((target) => `${relative(server, file)} imports ${target}/`);
  });
}

describe("the floors", () => {
  it("hold many rooms", () => {
    expect(sources(server).length).toBeGreaterThan(20);
  });

  it("are only ever left downwards", () => {
    expect(violations()).toEqual([]);
  });

  it("are told in docs/architecture.md as they are", () => {
    const page = readFileSync(join(dirname(packages), "docs", "architecture.md"), "utf8");
    const rows = [...page.matchAll(/^\| (\d+) \| (.*) \|$/gm)].map(([, floor, text = ""]) => ({
      floor: Number(floor),
      rooms: [...text.matchAll(/(?:^|\. )`([a-z-]+)\/`:/g)].map((match) => match[1] ?? ""),
    }));
    const told = rows.filter(({ floor }) => floor <= floors.length).toReversed();
    expect(told.map(({ rooms }) => rooms.toSorted())).toEqual(floors.map((rooms) => rooms.toSorted()));
  });

  // `edge/` is in front of all adapters: who connects, from where, how often.
  it("keep the adapters of different protocols apart", () => {
    const api = join(server, "api");
    const crossing = sources(api).flatMap((file) => {
      const [adapter = ""] = relative(api, file).split(sep);
      if (adapter.endsWith(".ts")) return [];
      return imports(file)
        .filter((target) => target.startsWith("."))
        .map((target) => relative(api, resolve(dirname(file), target)))
        .filter(
          (target) => target.includes(sep) && !["..", adapter, "edge"].includes(target.split(sep)[0] ?? ""),
        )
        .map((target) => `${relative(api, file)} imports ${target}`);
    });
    expect(crossing).toEqual([]);
  });

  it.each(Object.keys(mayImport))("let package %s import only what it may", (name) => {
    const wrong = sources(join(packages, name, "src")).flatMap((file) =>
      imports(file)
        .filter((target) => target.startsWith("@ocelli/"))
        .filter(
          (target) =>
            !mayImport[name]?.some((allowed) => target === allowed || target.startsWith(`${allowed}/`)),
        )
        .map((target) => `${relative(packages, file)} imports ${target}`),
    );
    expect(wrong).toEqual([]);
  });

  it("read time only through the clock", () => {
    const allowed = new Set(["clock"]);
    const wrong = sources(server)
      .filter((file) => !allowed.has(relative(server, file).split(sep)[0] ?? ""))
      .filter((file) =>
        /\bDate\.now\(|\bsetTimeout\(|\bsetInterval\(|\bnew Date\(\)|performance\.now\(/.test(
          readFileSync(file, "utf8"),
        ),
      )
      .map((file) => relative(server, file));
    expect(wrong).toEqual([]);
  });
});
