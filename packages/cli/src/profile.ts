/**
 * The profile file: addresses of hubs and the credentials for them, so that neither has to be typed. Owns its place,
 * its form and its permissions; it holds secrets, so nobody but its owner may read it.
 */
import {
  chmodSync,
  closeSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from "node:fs";
import { homedir } from "node:os";
import { dirname, join } from "node:path";
import { messageOf, OcelliError } from "@ocelli/protocol";
import type { Io } from "./io.ts";

export interface Profile {
  /** `https://hub.example:8002` */
  readonly url: string;
  /** An API key or a token. */
  readonly key?: string;
  /** Who logged in, for people. */
  readonly user?: string;
  /** A PEM file with the CA to trust in place of those of the system. */
  readonly ca?: string;
}

export interface Profiles {
  /** The name of the one used when none is named. */
  readonly default?: string;
  readonly profiles: Readonly<Record<string, Profile>>;
}

/** `$XDG_CONFIG_HOME/ocelli/profile.json`, or the same under `~/.config`. */
export function profilePath(env: Io["env"]): string {
  return join(env.XDG_CONFIG_HOME || join(env.HOME || homedir(), ".config"), "ocelli", "profile.json");
}

/**
 * No file is no profiles.
 * @param warn told when others could read the file; it is closed to them
 * @throws OcelliError `config_invalid`
 */
export function readProfiles(env: Io["env"], warn: (text: string) => void = () => {}): Profiles {
  const path = profilePath(env);
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    if (error instanceof Error && "code" in error && (error.code === "ENOENT" || error.code === "ENOTDIR")) {
      return { profiles: {} };
    }
    throw invalid(path, messageOf(error), error);
  }
  closeToOthers(path, warn);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    // Not the parser's words: they repeat the file, secrets and all.
    throw invalid(path, "it is not JSON", error);
  }
  return profilesIn(value, path);
}

/** Replaces the file as a whole, readable by its owner only. @throws OcelliError `storage_failed` */
export function writeProfiles(env: Io["env"], profiles: Profiles): void {
  const path = profilePath(env);
  const next = `${path}.${process.pid}.new`;
  try {
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    const file = openSync(next, "wx", 0o600);
    try {
      writeSync(file, `${JSON.stringify(profiles, null, 2)}\n`);
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
    renameSync(next, path);
  } catch (error) {
    rmSync(next, { force: true });
    throw new OcelliError("storage_failed", `${path} cannot be written: ${messageOf(error)}.`, {
      cause: error,
    });
  }
}

/** @throws OcelliError `invalid_params` naming those there are */
export function profileNamed(name: string, { profiles }: Profiles, env: Io["env"]): Profile {
  const profile = Object.hasOwn(profiles, name) ? profiles[name] : undefined;
  if (profile !== undefined) return profile;
  const names = Object.keys(profiles);
  const there = names.length === 0 ? "There are none yet" : `There are: ${names.join(", ")}`;
  throw new OcelliError(
    "invalid_params",
    `${profilePath(env)} has no profile "${name}". ${there}; \`ocelli login --profile ${name}\` makes one.`,
  );
}

function closeToOthers(path: string, warn: (text: string) => void): void {
  const mode = statSync(path).mode & 0o777;
  if ((mode & 0o077) === 0) return;
  let now = "It is now closed to them (0600).";
  try {
    chmodSync(path, 0o600);
  } catch (error) {
    now = `It could not be closed to them (${messageOf(error)}): do so with chmod 600.`;
  }
  warn(
    `${path} holds credentials, and others on this machine could read it (0${mode.toString(8)}). ${now} If somebody may have read it, revoke what it holds.`,
  );
}

function profilesIn(value: unknown, path: string): Profiles {
  if (!isObject(value) || !isObject(value.profiles)) throw invalid(path, 'it has no "profiles"');
  const profiles: Record<string, Profile> = {};
  for (const [name, one] of Object.entries(value.profiles)) {
    if (!isObject(one) || typeof one.url !== "string") throw invalid(path, `profile "${name}" has no "url"`);
    profiles[name] = {
      url: one.url,
      ...optional("key", one.key, name, path),
      ...optional("user", one.user, name, path),
      ...optional("ca", one.ca, name, path),
    };
  }
  return { ...optional("default", value.default, "default", path), profiles };
}

function optional<K extends string>(
  key: K,
  value: unknown,
  of: string,
  path: string,
): { [key in K]?: string } {
  if (value === undefined) return {};
  if (typeof value !== "string") throw invalid(path, `"${key}" of "${of}" is no text`);
  return { [key]: value } as { [key in K]: string }; // a computed key is otherwise any text
}

function invalid(path: string, why: string, cause?: unknown): OcelliError {
  return new OcelliError(
    "config_invalid",
    `The profile file ${path} cannot be used: ${why}. Correct or remove it.`,
    cause === undefined ? {} : { cause },
  );
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
