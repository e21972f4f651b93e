/** `ocelli keys list | create | revoke | rotate | reset`, with or without a running hub */
import { resolve } from "node:path";
import { messageOf, OcelliError } from "@ocelli/protocol";
import { type ApiKeyObject, type Role, readTimestampUs, roles } from "@ocelli/protocol/camera-service";
import { type Command, Option } from "commander";
import { confirmed } from "../confirm.ts";
import { type Output, outputOf, targetFor } from "../context.ts";
import type { Io } from "../io.ts";
import { FolderKeys, HubKeys, isNoOfflineFolder, type KeyStore } from "../key-store.ts";
import { connect, dataFolder, type GlobalOptions } from "../target.ts";
import { countText, readDurationS, table, timeText } from "../words.ts";

interface Options {
  readonly offline?: true;
}

interface CreateOptions extends Options {
  readonly role: Role;
  readonly expires?: string;
  readonly camera?: readonly string[];
}

interface ResetOptions extends Options {
  readonly all?: true;
  readonly yes?: true;
}

const where = `
On the hub's own machine this works without a hub and without a key, on the data folder (--data-dir). While a hub
runs, it is asked instead. --offline insists on the folder; --url, --host, --profile or OCELLI_URL on a hub.`;

export function addKeys(program: Command, io: Io): void {
  const keys = program.command("keys").description("API keys: who may come in").addHelpText("after", where);
  const offline = () => new Option("--offline", "work on the data folder of a hub that does not run");

  keys
    .command("list", { isDefault: true })
    .description("list keys, without their secrets")
    .addOption(offline())
    .action((_options, command: Command) =>
      withKeys(command, io, async (store, { print }) => {
        const list = await store.list();
        print({ keys: list, total: list.length }, () =>
          list.length === 0 ? "No keys.\n" : table(headings, list.map(row)),
        );
      }),
    );

  keys
    .command("create")
    .description("make a key and print it; it is shown only this once")
    .argument("<name>", "what it is for")
    .addOption(new Option("--role <role>", "what it allows").choices(roles).default("viewer"))
    .option("--expires <time>", "12h, 30d, or ISO 8601; never otherwise")
    .option(
      "--camera <camera>",
      "only for this camera; may be given several times",
      (one, all: string[] = []) => [...all, one],
    )
    .addOption(offline())
    .action((name: string, options: CreateOptions, command: Command) =>
      withKeys(command, io, async (store, { print, aside }) => {
        const made = await store.create({
          ...{ name, role: options.role, cameras: options.camera ?? [] },
          expires: expiryOf(options.expires),
        });
        print(made, () => `${made.api_key}\n`);
        aside(`Key ${made.key_id} (${made.role}) made. It is shown only this once.`);
      }),
    );

  keys
    .command("revoke")
    .description("make keys void at once")
    .argument("<id...>", "as `keys list` shows them")
    .addOption(offline())
    .action((ids: string[], _options, command: Command) =>
      withKeys(command, io, async (store, output) => {
        const revoked: { key_id: string; revoked: true }[] = [];
        for (const key_id of ids) {
          await store.revoke(key_id);
          revoked.push({ key_id, revoked: true });
          if (!output.json) output.io.out(`${key_id} revoked\n`);
        }
        if (output.json) output.print(revoked, () => "");
      }),
    );

  keys
    .command("rotate")
    .description("replace a key by a new one with the same rights")
    .argument("<id>", "as `keys list` shows it")
    .addOption(offline())
    .action((id: string, _options, command: Command) =>
      withKeys(command, io, async (store, { print, aside }) => {
        const made = await store.rotate(id);
        print(made, () => `${made.api_key}\n`);
        aside(
          `Key ${made.key_id} (${made.role}) takes the place of ${id}, which is void. It is shown only this once.`,
        );
      }),
    );

  keys
    .command("reset")
    .description("for a lost or leaked admin key: make a new one, and all other admin keys void")
    .option("--all", "make every key void, of all roles")
    .option("-y, --yes", "do not ask")
    .addOption(offline())
    .action((options: ResetOptions, command: Command) =>
      withKeys(command, io, async (store, output) => {
        const which = options.all ? "all" : "admin";
        const old = (await store.list()).filter(
          ({ is_active, role }) => is_active && (which === "all" || role === "admin"),
        );
        const what = `This makes ${countText(old.length, which === "all" ? "key" : "admin key")} void: ${old.map(({ name }) => name).join(", ") || "none"}.`;
        if (old.length > 0) await confirmed(what, options.yes === true, io);
        const { made, revoked } = await store.reset(which);
        output.print({ ...made, revoked }, () => `${made.api_key}\n`);
        output.aside(
          `New admin key ${made.key_id}; ${countText(revoked, "key")} void. It is shown only this once.`,
        );
        if (old.some(({ name }) => name === "admin (configured)")) {
          output.note(
            "The key in the hub's settings (adminKey, OCELLI_ADMIN_KEY) counts again when it starts: change it there.",
          );
        }
        const file = store instanceof FolderKeys ? store.renewKeyFile(made.api_key) : undefined;
        if (file !== undefined) output.note(`It is in ${file}, too.`);
      }),
    );
}

/** Opens the keys where they are to be found now, does `work`, and closes them. */
async function withKeys(
  command: Command,
  io: Io,
  work: (store: KeyStore, output: Output) => Promise<void>,
): Promise<void> {
  const output = outputOf(command, io);
  const store = await openStore(command, io, output);
  try {
    await work(store, output);
  } finally {
    await store.close();
  }
}

async function openStore(command: Command, io: Io, { note }: Output): Promise<KeyStore> {
  const options = command.optsWithGlobals<GlobalOptions & Options>();
  const folder = resolve(dataFolder(options, io.env));
  if (options.offline) {
    return FolderKeys.open(folder).catch((error: unknown) => {
      if (isNoOfflineFolder(error) !== "runs") throw error;
      throw new OcelliError(
        "data_dir_locked",
        `A hub runs on ${folder}: ask it (without --offline), or stop it first.`,
        {
          cause: error,
        },
      );
    });
  }
  const target = targetFor(command, io);
  if (target.isDefault) {
    try {
      const store = await FolderKeys.open(folder);
      note(`No hub uses ${folder}: working on the keys in it.`);
      return store;
    } catch (error) {
      const why = isNoOfflineFolder(error);
      if (why === undefined) throw error;
      if (why === "runs") note(`The hub of ${folder} runs: asking it.`);
      else return await askAnyway(messageOf(error));
    }
  }
  return new HubKeys(await connect(target, io.signal));

  /** Perhaps a hub runs with another folder. */
  async function askAnyway(why: string): Promise<KeyStore> {
    try {
      return new HubKeys(await connect(target, io.signal));
    } catch (error) {
      if (error instanceof Error && "condition" in error && error.condition === "connect_failed") {
        throw new OcelliError("file_not_found", `No hub runs at ${target.baseUrl}, and: ${why}`, {
          cause: error,
        });
      }
      throw error;
    }
  }
}

const headings = ["ID", "NAME", "ROLE", "CAMERAS", "CREATED", "EXPIRES", "LAST USED", "STATE"];

function row(key: ApiKeyObject): string[] {
  const expired = key.expires_at !== null && Date.parse(key.expires_at) <= Date.now();
  return [
    key.key_id,
    key.user_id === null ? key.name : `${key.name} (of ${key.user_id})`,
    key.role,
    key.cameras === null ? "all" : key.cameras.join(", "),
    timeText(key.created_at),
    key.expires_at === null ? "never" : timeText(key.expires_at),
    key.last_used === null ? "never" : timeText(key.last_used),
    key.is_active ? (expired ? "expired" : "active") : "revoked",
  ];
}

/** Seconds from now, or ISO 8601. @throws OcelliError `invalid_params` */
export function expiryOf(text: string | undefined): number | string | undefined {
  if (text === undefined) return undefined;
  const seconds = readDurationS(text);
  if (seconds !== undefined) return seconds;
  const us = readTimestampUs(text);
  if (us !== undefined) return new Date(us / 1000).toISOString();
  throw new OcelliError("invalid_params", `"${text}" is no time. Write 12h, 30d, or 2026-12-31T00:00:00Z.`);
}
