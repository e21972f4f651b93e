import { existsSync, readFileSync } from "node:fs";
import { messageOf, OcelliError, ruleOf } from "@ocelli/protocol";
import { parse as parseYaml } from "yaml";
import type { z } from "zod";
import { type Config, configSchema } from "./schema.ts";
import { type Setting, settings } from "./settings.ts";

/**
 * Puts the configuration together: defaults < YAML file < environment < flags. Anything unknown or wrong is
 * refused with where it came from, its key, its value and what is allowed; all problems at once.
 */

export interface LoadedConfig {
  readonly config: Config;
  /** Keys somebody set, and where. */
  readonly origin: ReadonlyMap<string, string>;
  readonly file: string | undefined;
}

export interface ConfigSources {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly argv: readonly string[];
  /** Read when neither flag nor environment names a file; skipped when absent. */
  readonly defaultFile?: string;
}

/** Names in our environment prefix that are not settings of the hub: the file itself, and the CLI's. */
export const otherNames: ReadonlySet<string> = new Set([
  "OCELLI_CONFIG",
  "OCELLI_URL",
  "OCELLI_API_KEY",
  "OCELLI_PROFILE",
  "OCELLI_CA",
]);

type Tree = { [key: string]: unknown };

interface Problem {
  readonly where: string;
  readonly text: string;
}

/** @throws OcelliError `config_invalid` listing every problem */
export function loadConfig(sources: ConfigSources): LoadedConfig {
  const problems: Problem[] = [];
  const origin = new Map<string, string>();
  const tree: Tree = {};

  const flags = readFlags(sources.argv, problems);
  const file = flags.file ?? sources.env.OCELLI_CONFIG ?? existing(sources.defaultFile);
  if (file !== undefined) mergeFile(tree, file, origin, problems);
  for (const [name, value] of Object.entries(sources.env)) {
    if (!name.startsWith("OCELLI_") || value === undefined || otherNames.has(name)) continue;
    const setting = settings.find((candidate) => candidate.env === name);
    if (setting === undefined) {
      problems.push({
        where: name,
        text: `no such setting${didYouMean(
          name,
          settings.map((s) => s.env),
        )}`,
      });
    } else {
      set(tree, setting, value, name, origin, problems);
    }
  }
  for (const { setting, value } of flags.values) set(tree, setting, value, setting.flag, origin, problems);

  const result = configSchema.safeParse(tree);
  if (!result.success) {
    for (const issue of result.error.issues) problems.push(...explain(issue, tree, origin, file));
  }
  if (problems.length > 0 || !result.success) {
    const lines = problems.map(({ where, text }) => `  ${where}: ${text}`);
    throw new OcelliError("config_invalid", `the configuration cannot be used:\n${lines.join("\n")}`, {
      details: { problems },
    });
  }
  return { config: result.data, origin, file };
}

function existing(path: string | undefined): string | undefined {
  return path !== undefined && existsSync(path) ? path : undefined;
}

function readFlags(argv: readonly string[], problems: Problem[]) {
  const values: { setting: Setting; value: string }[] = [];
  let file: string | undefined;
  const rest = [...argv];
  for (let arg = rest.shift(); arg !== undefined; arg = rest.shift()) {
    const [name = "", inline] = arg.split(/=(.*)/s);
    const setting = settings.find((candidate) => candidate.flag === name);
    if (name !== "--config" && setting === undefined) {
      problems.push({
        where: name,
        text: `no such flag${didYouMean(name, ["--config", ...settings.map((s) => s.flag)])}`,
      });
      continue;
    }
    const value = inline ?? rest.shift();
    if (value === undefined) problems.push({ where: name, text: "needs a value" });
    else if (setting === undefined) file = value;
    else values.push({ setting, value });
  }
  return { file, values };
}

function mergeFile(tree: Tree, file: string, origin: Map<string, string>, problems: Problem[]): void {
  let content: unknown;
  try {
    content = parseYaml(readFileSync(file, "utf8"));
  } catch (error) {
    // The first line says what and where; the others repeat the file, secrets and all.
    const [text = ""] = messageOf(error).split("\n", 1);
    problems.push({ where: file, text: text.replace(/:$/, "") });
    return;
  }
  if (content === null || content === undefined) return;
  if (typeof content !== "object" || Array.isArray(content)) {
    problems.push({ where: file, text: "must hold keys and values" });
    return;
  }
  Object.assign(tree, content);
  for (const setting of settings) {
    const value = get(tree, setting.path);
    if (value === undefined) continue;
    origin.set(setting.key, file);
    // One item, or a comma list, as in the environment.
    if (setting.kind === "list" && typeof value === "string")
      set(tree, setting, value, file, origin, problems);
  }
}

function set(
  tree: Tree,
  setting: Setting,
  text: string,
  where: string,
  origin: Map<string, string>,
  problems: Problem[],
): void {
  const value = parseText(setting, text);
  if (value === undefined) {
    const shown = setting.secret ? "the value" : JSON.stringify(text);
    problems.push({ where, text: `${shown} is not allowed; allowed is ${setting.allowed}` });
    return;
  }
  let node = tree;
  for (const part of setting.path.slice(0, -1)) {
    const next = node[part];
    if (typeof next === "object" && next !== null && !Array.isArray(next)) {
      node = next as Tree;
    } else {
      const made: Tree = {};
      node[part] = made;
      node = made;
    }
  }
  node[setting.path.at(-1) ?? ""] = value;
  origin.set(setting.key, where);
}

/** The value a piece of text stands for; `undefined` when it cannot be one. */
function parseText(setting: Setting, text: string): unknown {
  switch (setting.kind) {
    case "string":
      return text;
    case "number":
      return text.trim() !== "" && Number.isFinite(Number(text)) ? Number(text) : undefined;
    case "boolean":
      return text === "true" ? true : text === "false" ? false : undefined;
    case "list":
      return text
        .split(",")
        .map((item) => item.trim())
        .filter((item) => item !== "");
    case "json":
      try {
        return JSON.parse(text);
      } catch {
        return undefined;
      }
  }
}

function explain(
  issue: z.core.$ZodIssue,
  tree: Tree,
  origin: ReadonlyMap<string, string>,
  file: string | undefined,
): Problem[] {
  const key = issue.path.join(".");
  if (issue.code === "unrecognized_keys") {
    const siblings = settings
      .filter((s) => s.path.slice(0, issue.path.length).join(".") === key)
      .map((s) => s.path[issue.path.length] ?? "");
    return issue.keys.map((name) => ({
      where: `${file ?? "configuration"}: ${[...issue.path, name].join(".")}`,
      text: `no such setting${didYouMean(name, siblings)}`,
    }));
  }
  const setting = settings.find((s) => key === s.key || key.startsWith(`${s.key}.`));
  const value = get(tree, issue.path.map(String));
  const shown = setting?.secret || value === undefined ? "" : `${JSON.stringify(value)} is not allowed: `;
  const allowed = setting === undefined ? "" : `; allowed is ${setting.allowed}`;
  const from = setting === undefined ? file : origin.get(setting.key);
  const where = from === undefined || from === key ? key : `${from}: ${key}`;
  return [{ where, text: `${shown}${ruleOf(issue)}${allowed}` }];
}

function get(tree: unknown, path: readonly string[]): unknown {
  let node = tree;
  for (const part of path) {
    if (typeof node !== "object" || node === null) return undefined;
    node = (node as Tree)[part];
  }
  return node;
}

function didYouMean(name: string, candidates: readonly string[]): string {
  const ranked = [...new Set(candidates)]
    .map((candidate) => ({ candidate, distance: editDistance(name.toLowerCase(), candidate.toLowerCase()) }))
    .sort((a, b) => a.distance - b.distance)[0];
  if (ranked === undefined || ranked.distance > Math.max(2, name.length / 3)) return "";
  return `; did you mean ${ranked.candidate}?`;
}

/** Levenshtein distance. */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const substitution = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(substitution, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}
