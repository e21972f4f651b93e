/** `ocelli users list | create | update | password | delete` */
import { type ResultOf, type Role, roles } from "@ocelli/protocol/camera-service";
import { type Command, Option } from "commander";
import { confirmed } from "../confirm.ts";
import { type Context, withHub } from "../context.ts";
import type { Io } from "../io.ts";
import { type PasswordOptions, passwordFlag, passwordOf } from "../secret.ts";
import { table, timeText } from "../words.ts";

type User = ResultOf<"list_users">["users"][number];

interface CreateOptions extends PasswordOptions {
  readonly role: Role;
  readonly camera?: readonly string[];
}

interface UpdateOptions {
  readonly role?: Role;
  readonly camera?: readonly string[];
  readonly allCameras?: true;
  readonly enable?: true;
  readonly disable?: true;
}

export function addUsers(program: Command, io: Io): void {
  const users = program.command("users").description("people who log in with a password");
  const collect = (one: string, all: string[] = []): string[] => [...all, one];
  const name = ["<name>", "of the user"] as const;

  users
    .command("list", { isDefault: true })
    .description("list users")
    .action((_options, command: Command) =>
      withHub(command, io, async ({ connection, print }) => {
        const list = await connection.call("list_users");
        print(list, () =>
          list.total === 0
            ? "No users. `ocelli users create <name>` makes one.\n"
            : table(["USER", "ROLE", "CAMERAS", "CREATED", "LAST LOGIN", "STATE"], list.users.map(row)),
        );
      }),
    );

  users
    .command("create")
    .description("make a user; the password is asked for")
    .argument(...name)
    .addOption(new Option("--role <role>", "what it allows").choices(roles).default("viewer"))
    .option("--camera <camera>", "only for this camera; may be given several times", collect)
    .option(...passwordFlag)
    .action((username: string, options: CreateOptions, command: Command) =>
      withHub(command, io, async (context) => {
        const cameras = await idsOf(options.camera, context);
        const password = await passwordOf(options, io, "twice");
        const made = await context.connection.call("create_user", {
          ...{ username, password, role: options.role },
          ...(cameras === undefined ? {} : { cameras }),
        });
        context.print(made, () => `${made.username} (${made.role}) may log in now.\n`);
      }),
    );

  users
    .command("update")
    .description("change what a user may do; logs the user out everywhere")
    .argument(...name)
    .addOption(new Option("--role <role>", "what it allows").choices(roles))
    .option("--camera <camera>", "only for this camera; may be given several times", collect)
    .addOption(new Option("--all-cameras", "for every camera").conflicts("camera"))
    .addOption(new Option("--disable", "may not log in for now").conflicts("enable"))
    .option("--enable", "may log in again")
    .action((username: string, options: UpdateOptions, command: Command) =>
      withHub(command, io, async (context) => {
        const { role, enable, disable, allCameras } = options;
        const cameras = allCameras ? "all" : await idsOf(options.camera, context);
        const now = await context.connection.call("update_user", {
          username,
          ...(role === undefined ? {} : { role }),
          ...(enable ? { enabled: true } : disable ? { enabled: false } : {}),
          ...(cameras === undefined ? {} : { cameras }),
        });
        context.print(now, () => `${now.username}: ${now.role}, ${camerasText(now)}, ${stateOf(now)}\n`);
      }),
    );

  users
    .command("password")
    .description("set a user's password, which is asked for; logs the user out everywhere")
    .argument(...name)
    .option(...passwordFlag)
    .action((username: string, options: PasswordOptions, command: Command) =>
      withHub(command, io, async ({ connection, print }) => {
        const password = await passwordOf(options, io, "twice");
        const changed = await connection.call("set_user_password", { username, password });
        print(changed, () => `${changed.username} has a new password.\n`);
      }),
    );

  users
    .command("delete")
    .description("remove a user, with the keys and tokens that are the user's")
    .argument(...name)
    .option("-y, --yes", "do not ask")
    .action((username: string, options: { yes?: true }, command: Command) =>
      withHub(command, io, async ({ connection, print }) => {
        await confirmed(
          `This removes ${username}, with the user's keys and tokens.`,
          options.yes === true,
          io,
        );
        const deleted = await connection.call("delete_user", { username });
        print(deleted, () => `${deleted.username} deleted\n`);
      }),
    );
}

async function idsOf(
  names: readonly string[] | undefined,
  { camera }: Context,
): Promise<string[] | undefined> {
  return names === undefined ? undefined : Promise.all(names.map(camera));
}

function row(user: User): string[] {
  return [
    user.username,
    user.role,
    camerasText(user),
    timeText(user.created_at),
    user.last_login === null ? "never" : timeText(user.last_login),
    stateOf(user),
  ];
}

function camerasText({ cameras }: User): string {
  return cameras === null ? "all cameras" : cameras.join(", ");
}

function stateOf({ enabled }: User): string {
  return enabled ? "enabled" : "disabled";
}
