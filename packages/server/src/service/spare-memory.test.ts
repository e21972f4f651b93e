import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";
import { FakeClock } from "../clock/fake-clock.ts";
import { giveBackSpareMemory } from "./spare-memory.ts";

it("gives back soon after the start, then now and again, until it is stopped", async () => {
  const clock = new FakeClock();
  let times = 0;
  const stop = giveBackSpareMemory({ clock, trim: () => times++ });
  expect(times).toBe(0);
  await clock.advance(3000);
  expect(times).toBe(1);
  await clock.advance(120_000);
  const before = times;
  expect(before).toBeGreaterThanOrEqual(2);
  stop();
  await clock.advance(600_000);
  expect(times).toBe(before);
});

it("makes the process smaller where the C library kept what was freed", () => {
  // Blocks of 4 KiB come from the heap of the C library; one in a hundred stays, so that the end of it cannot simply shrink.
  const program = `
    import { readFileSync } from "node:fs";
    import koffi from "koffi";
    import { FakeClock } from ${JSON.stringify(new URL("../clock/fake-clock.ts", import.meta.url).href)};
    import { giveBackSpareMemory } from ${JSON.stringify(new URL("./spare-memory.ts", import.meta.url).href)};
    const libc = koffi.load(null);
    const make = libc.func("void *calloc(size_t count, size_t size)");
    const free = libc.func("void free(void *pointer)");
    const resident = () => Number(/Rss:\\s+(\\d+)/.exec(readFileSync("/proc/self/smaps_rollup", "utf8"))[1]);
    const blocks = Array.from({ length: 16_384 }, () => make(1, 4096));
    blocks.forEach((block, index) => index % 100 !== 0 && free(block));
    const before = resident();
    const clock = new FakeClock();
    giveBackSpareMemory({ clock });
    await clock.advance(3000);
    console.log(JSON.stringify({ before, after: resident() }));`;
  const { stdout, stderr } = spawnSync(process.execPath, ["--input-type=module", "-e", program], {
    encoding: "utf8",
    cwd: fileURLToPath(new URL(".", import.meta.url)),
  });
  expect(stderr).toBe("");
  const { before, after } = JSON.parse(stdout) as { before: number; after: number };
  // Of the 64 MiB nearly all.
  expect(before - after).toBeGreaterThan(40 * 1024);
});
