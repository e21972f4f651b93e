/** The configuration as it is in force, for people: each setting with its value and where that came from. No secrets. */
import { masked, maskSecrets } from "../log/mask.ts";
import type { Config } from "./schema.ts";
import { type Setting, settings } from "./settings.ts";

export interface EffectiveSetting {
  readonly setting: Setting;
  /** Passwords, keys and the user-info of URLs are `***`; `undefined` where nothing is set and there is no default. */
  readonly value: unknown;
  readonly source: "default" | "file" | "environment" | "flag";
  /** The file, variable or flag that set it. */
  readonly origin: string | undefined;
}

/** Of the items of secret lists, what is none. */
const harmless: ReadonlySet<string> = new Set(["name", "number", "transport", "audio", "events"]);

/** @param origin keys somebody set, and where, as `loadConfig` gives it */
export function effectiveSettings(
  config: Config,
  origin: ReadonlyMap<string, string>,
): readonly EffectiveSetting[] {
  return settings.map((setting) => {
    const from = origin.get(setting.key);
    const value = valueAt(config, setting.path);
    return {
      setting,
      value: setting.secret ? withoutSecrets(value) : typeof value === "string" ? maskSecrets(value) : value,
      source: sourceOf(from),
      origin: from,
    };
  });
}

function sourceOf(origin: string | undefined): EffectiveSetting["source"] {
  if (origin === undefined) return "default";
  if (settings.some(({ env }) => env === origin)) return "environment";
  return settings.some(({ flag }) => flag === origin) ? "flag" : "file";
}

function valueAt(config: Config, path: readonly string[]): unknown {
  let node: unknown = config;
  for (const part of path) {
    if (typeof node !== "object" || node === null) return undefined;
    node = Object.entries(node).find(([name]) => name === part)?.[1];
  }
  return node;
}

/** What is not known to be harmless is a secret. */
function withoutSecrets(value: unknown): unknown {
  if (value === undefined) return undefined;
  if (!Array.isArray(value)) return masked;
  return value.map((item: unknown) =>
    typeof item === "object" && item !== null
      ? Object.fromEntries(Object.entries(item).map(([name, of]) => [name, withoutSecret(name, of)]))
      : masked,
  );
}

function withoutSecret(name: string, value: unknown): unknown {
  if (harmless.has(name)) return value;
  return name === "url" && typeof value === "string" ? maskSecrets(value) : masked;
}
