import { execFileSync } from "node:child_process";
import { Command } from "commander";
import { describe, expect, it } from "vitest";
import { programFor } from "../program.ts";
import { keptIo } from "../testing/io.ts";
import { start } from "../testing/run.ts";
import { treeOf } from "./tree.ts";

/** What a real bash offers for the last of these words. */
async function offered(...words: string[]): Promise<string[]> {
  const { out } = await start(["completion", "bash"], {}).done;
  const list = words.map((word) => `'${word}'`).join(" ");
  const script = `${out}\nCOMP_WORDS=(${list}); COMP_CWORD=${words.length - 1}; _ocelli; printf '%s\\n' "\${COMPREPLY[@]}"`;
  return execFileSync("bash", ["-c", script], { encoding: "utf8" }).trim().split("\n").filter(Boolean);
}

describe("completion", () => {
  it("knows every command and option there is", () => {
    const paths = treeOf(programFor(keptIo())).map(({ path }) => path);
    for (const path of ["", "cameras", "cameras set", "files download", "keys reset", "events follow"]) {
      expect(paths).toContain(path);
    }
    const files = treeOf(programFor(keptIo())).find(({ path }) => path === "files list");
    expect(files?.choices).toEqual(["recordings", "snapshots"]);
    expect(files?.options.flatMap(({ names }) => names)).toEqual(
      expect.arrayContaining(["--url", "--json", "--camera", "--limit", "--help"]),
    );
  });

  it("takes options of a default command for those of the one above", () => {
    const program = new Command("p");
    program.command("a").command("b", { isDefault: true }).option("--deep <file>");
    expect(treeOf(program).find(({ path }) => path === "a")?.options[0]).toMatchObject({
      names: ["--deep"],
      takesValue: true,
      value: "file",
    });
  });

  it.each([
    [["ocelli", "fi"], ["files"]],
    [
      ["ocelli", "files", ""],
      ["list", "download", "delete", "export"],
    ],
    [
      ["ocelli", "--url", "files", "files", "d"],
      ["download", "delete"],
    ],
    [["ocelli", "files", "list", "--cam"], ["--camera"]],
    [
      ["ocelli", "record", "start", "camera0", "--format", "m"],
      ["mp4", "mkv"],
    ],
    [["ocelli", "record", "start", "--format", "=", "t"], ["ts"]],
    [
      ["ocelli", "keys", "create", "door", "--role", ""],
      ["viewer", "operator", "admin"],
    ],
  ])("completes in bash: %s", async (words, wanted) => {
    expect(await offered(...words)).toEqual(wanted);
  });

  it("gives scripts of other shells, too", async () => {
    expect((await start(["completion", "zsh"], {}).done).out).toMatch(/^#compdef ocelli\n/);
    expect((await start(["completion", "fish"], {}).done).out).toContain(
      "complete -c ocelli -n '__ocelli_at",
    );
    expect((await start(["completion", "csh"], {}).done).code).toBe(2);
  });
});
