/** `ocelli login` and `ocelli logout`, and the profiles they keep. */
import { hostname } from "node:os";
import { resolve } from "node:path";
import { OcelliError } from "@ocelli/protocol";
import type { Command } from "commander";
import { type Output, outputOf } from "../context.ts";
import { warning } from "../exit-codes.ts";
import type { Io } from "../io.ts";
import { type Profile, profileNamed, profilePath, readProfiles, writeProfiles } from "../profile.ts";
import { type PasswordOptions, passwordFlag, passwordOf } from "../secret.ts";
import { connect, type GlobalOptions, targetOf } from "../target.ts";
import { table, timeText } from "../words.ts";

interface LoginOptions extends PasswordOptions {
  readonly user?: string;
}

const usual = "default";

export function addLogin(program: Command, io: Io): void {
  program
    .command("login")
    .description("log in at a hub, and keep its address and the credential in a profile")
    .option("--user <name>", "asked for otherwise; not with --key, which is kept as it is")
    .option(...passwordFlag)
    .addHelpText(
      "after",
      "\nThe profile is the one --profile names, or the default one; it becomes the default when there is none.\nThe file is readable by its owner only.",
    )
    .action((options: LoginOptions, command: Command) => login(options, command, io));

  program
    .command("logout")
    .description("forget a profile: the default one, or the one --profile names")
    .action((_options, command: Command) => {
      const { profile } = command.optsWithGlobals<GlobalOptions>();
      const all = readProfiles(io.env);
      const name = profile ?? io.env.OCELLI_PROFILE ?? all.default ?? usual;
      profileNamed(name, all, io.env);
      const { [name]: _gone, ...profiles } = all.profiles;
      writeProfiles(io.env, {
        profiles,
        ...(all.default === undefined || all.default === name ? {} : { default: all.default }),
      });
      outputOf(command, io).print({ profile: name, removed: true }, () => `Profile ${name} removed.\n`);
    });

  const profiles = program.command("profiles").description("hubs whose address and credential are kept");
  profiles
    .command("list", { isDefault: true })
    .description("list them, without their secrets")
    .action((_options, command: Command) => {
      const all = readProfiles(io.env, (text) => io.err(warning(text)));
      const list = Object.entries(all.profiles).map(([name, { url, user, key }]) => ({
        name,
        url,
        user: user ?? null,
        has_credential: key !== undefined,
        default: name === all.default,
      }));
      outputOf(command, io).print({ file: profilePath(io.env), profiles: list }, () =>
        list.length === 0
          ? "No profiles. `ocelli login` makes one.\n"
          : table(
              ["PROFILE", "HUB", "USER", ""],
              list.map((one) => [one.name, one.url, one.user ?? "-", one.default ? "default" : ""]),
            ),
      );
    });
  profiles
    .command("use")
    .description("make one the default")
    .argument("<name>")
    .action((name: string, _options, command: Command) => {
      const all = readProfiles(io.env);
      profileNamed(name, all, io.env);
      writeProfiles(io.env, { ...all, default: name });
      outputOf(command, io).print({ profile: name, default: true }, () => `${name} is the default now.\n`);
    });
}

async function login(options: LoginOptions, command: Command, io: Io): Promise<void> {
  const output = outputOf(command, io);
  const globals = command.optsWithGlobals<GlobalOptions>();
  const name =
    globals.profile ?? (io.env.OCELLI_PROFILE || undefined) ?? readProfiles(io.env).default ?? usual;
  const known = readProfiles(io.env, (text) => io.err(warning(text))).profiles[name];
  // The profile may not be there yet: then the address must be on the line, in the environment, or be the usual one.
  const { profile: _profile, ...rest } = globals;
  const env = { ...io.env, OCELLI_PROFILE: undefined };
  const target = targetOf(
    {
      ...rest,
      ...(globals.url === undefined && globals.host === undefined && known !== undefined
        ? { url: known.url }
        : {}),
    },
    env,
  );
  const ca = globals.ca ?? (io.env.OCELLI_CA || undefined) ?? known?.ca;
  const { key, ...said } =
    globals.key === undefined
      ? await byPassword(options, target, io, output)
      : await byKey(globals.key, options, target, io);
  const profile: Profile = {
    url: target.baseUrl,
    key,
    ...(said.user === undefined ? {} : { user: said.user }),
    ...(ca === undefined ? {} : { ca: resolve(ca) }),
  };
  const all = readProfiles(io.env);
  writeProfiles(io.env, { default: all.default ?? name, profiles: { ...all.profiles, [name]: profile } });
  const { role, expires_at } = said;
  output.print(
    {
      profile: name,
      url: target.baseUrl,
      user: said.user ?? null,
      role,
      expires_at,
      file: profilePath(io.env),
    },
    () =>
      `Logged in at ${target.baseUrl} as ${said.user ?? "the owner of the key"} (${role})${expires_at === null ? "" : `, until ${timeText(expires_at)}`}. Kept in ${profilePath(io.env)} as ${name}.\n`,
  );
}

interface Said {
  readonly key: string;
  readonly user: string | undefined;
  readonly role: string;
  readonly expires_at: string | null;
}

type Target = Parameters<typeof connect>[0];

async function byPassword(options: LoginOptions, target: Target, io: Io, { note }: Output): Promise<Said> {
  if (target.baseUrl.startsWith("http:") && !isHere(target.baseUrl)) {
    note(`${target.baseUrl} is not encrypted: whoever listens in between can read the password.`);
  }
  const username = options.user ?? (await askedName(io));
  const password = await passwordOf(options, io, "once");
  await using connection = await connect({ ...target, key: undefined }, io.signal);
  const { token, role, expires_at } = await connection.call("login", { username, password });
  return { key: token, user: username, role, expires_at };
}

/** A key is tried before it is kept. */
async function byKey(key: string, { user }: LoginOptions, target: Target, io: Io): Promise<Said> {
  if (user !== undefined) {
    throw new OcelliError(
      "invalid_params",
      "--user logs in with a password, --key with a key: give one of them.",
    );
  }
  await using connection = await connect({ ...target, key: undefined }, io.signal);
  const { role } = await connection.authenticate(key);
  return { key, user: undefined, role, expires_at: null };
}

async function askedName({ input, signal }: Io): Promise<string> {
  if (!input.isTerminal) {
    throw new OcelliError("invalid_params", "Nobody can be asked for the name here: give it with --user.");
  }
  const name = (await input.ask("User: ", { signal })).trim();
  if (name === "") throw new OcelliError("invalid_params", "No name was given.");
  return name;
}

function isHere(baseUrl: string): boolean {
  const host = new URL(baseUrl).hostname;
  return /^(localhost|127\..*|\[::1\])$/.test(host) || host === hostname();
}
