/** `ocelli token create | inspect` */
import { tokenExpiry } from "@ocelli/client";
import { OcelliError } from "@ocelli/protocol";
import { type Role, roles } from "@ocelli/protocol/camera-service";
import { type Command, Option } from "commander";
import { outputOf, withHub } from "../context.ts";
import type { Io } from "../io.ts";
import { isToken } from "../target.ts";
import { durationOf } from "../times.ts";
import { harmless, spanText, timeText } from "../words.ts";

interface CreateOptions {
  readonly role?: Role;
  readonly ttl: string;
  readonly camera?: readonly string[];
  readonly user?: string;
}

export function addToken(program: Command, io: Io): void {
  const token = program.command("token").description("short-lived credentials");

  token
    .command("create")
    .description("make a token and print it")
    .addOption(
      new Option("--role <role>", "what it allows; viewer, or the user's role, otherwise").choices(roles),
    )
    .option("--ttl <time>", "how long it is good: 90s, 15m, 2h, 7d", "1h")
    .option(
      "--camera <camera>",
      "only for this camera; may be given several times",
      (one, all: string[] = []) => [...all, one],
    )
    .option("--user <name>", "for this user, and void with the user")
    .action((options: CreateOptions, command: Command) =>
      withHub(command, io, async ({ connection, camera, print, aside }) => {
        const made = await connection.call("create_token", {
          ttl: Math.round(durationOf(options.ttl) ?? 0),
          ...(options.role === undefined ? {} : { role: options.role }),
          ...(options.user === undefined ? {} : { username: options.user }),
          ...(options.camera === undefined ? {} : { cameras: await Promise.all(options.camera.map(camera)) }),
        });
        print(made, () => `${made.token}\n`);
        aside(`Good until ${timeText(made.expires_at)}, as ${made.role}.`);
      }),
    );

  token
    .command("inspect")
    .description("show what a token says; asks no hub, and so does not tell whether it is true")
    .argument("[token]", "read from the standard input when it is - or absent")
    .action(async (given: string | undefined, _options, command: Command) => {
      const text = given === undefined || given === "-" ? await io.input.readAll() : given;
      const { header, claims } = parts(text.trim().replace(/^Bearer /, ""));
      const expiry = tokenExpiry(text.trim());
      const left = expiry === undefined ? undefined : expiry - Date.now() / 1000;
      outputOf(command, io).print(
        { header, claims, expired: left !== undefined && left <= 0, signature_checked: false },
        () => {
          const lines = Object.entries(claims).map(
            ([key, value]) => `${key.padEnd(12)} ${shown(key, value)}`,
          );
          const state =
            left === undefined
              ? "does not expire"
              : left > 0
                ? `expires in ${spanText(left)}`
                : `expired ${spanText(left)} ago`;
          return `${[...lines, `${"algorithm".padEnd(12)} ${shown("alg", header.alg)}`].map(harmless).join("\n")}\nIt ${state}. Whether its signature is right only the hub can tell.\n`;
        },
      );
    });
}

/** @throws OcelliError `invalid_params`; the text is not repeated, for it may be some other secret */
function parts(token: string): { header: Record<string, unknown>; claims: Record<string, unknown> } {
  try {
    if (!isToken(token)) throw new Error("no token");
    const [header, claims] = token
      .split(".")
      .slice(0, 2)
      .map((part): unknown => JSON.parse(Buffer.from(part, "base64url").toString("utf8")));
    if (!isObject(header) || !isObject(claims)) throw new Error("no objects");
    return { header, claims };
  } catch (error) {
    throw new OcelliError(
      "invalid_params",
      "That is no token: three parts with dots between are one. An API key says nothing of itself.",
      {
        cause: error,
      },
    );
  }
}

function shown(key: string, value: unknown): string {
  if (typeof value === "number" && /^(exp|iat|nbf)$/.test(key)) {
    return `${value}  (${timeText(new Date(value * 1000).toISOString())})`;
  }
  return typeof value === "string" ? value : JSON.stringify(value);
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
