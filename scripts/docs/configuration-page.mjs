// docs/configuration.md and docs/configuration.schema.json, from the schema the hub reads its configuration with.
import { z } from "zod";
import { otherNames } from "../../packages/server/src/config/load.ts";
import { configSchema } from "../../packages/server/src/config/schema.ts";
import { settings } from "../../packages/server/src/config/settings.ts";

/** Names in the environment that are no settings of the hub. One that is missing here fails the run. */
const otherWords = {
  OCELLI_CONFIG: "the YAML file of the hub; the same as `--config`",
  OCELLI_URL: "of the command line: the hub to talk to, such as `http://hub.local:8002`",
  OCELLI_API_KEY: "of the command line: the key to use",
  OCELLI_PROFILE: "of the command line: the profile to use",
  OCELLI_CA: "of the command line: certificates to trust in place of the system's",
};

/** What a group is about, where its name does not say it. */
const titles = {
  "": "General",
  capture: "Capture: the one stream each camera is read as",
  devices: "Cameras on this machine",
  tls: "TLS",
  virtual: "The virtual camera",
  events: "The log of events",
  anonymous: "Clients without a key",
  log: "Log files",
  auth: "Tokens and passwords",
  security: "Who may connect, and by which names",
  rateLimit: "Rate limits",
  metrics: "Figures for Prometheus",
  discovery: "Searching the network for cameras",
  multicam: "MultiCam",
  clock: "The clock",
};

function unwrap(schema) {
  let inner = schema;
  while (inner._zod.def.innerType !== undefined) inner = inner._zod.def.innerType;
  return inner;
}

function schemaAt(path) {
  return unwrap(path.reduce((schema, key) => unwrap(schema).shape[key], configSchema));
}

/** `rateLimit` as `Rate limit`. */
function inWords(name) {
  const text = name.replace(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`);
  return `${text[0].toUpperCase()}${text.slice(1)}`;
}

const cell = (text) => text.replaceAll("|", "\\|").replaceAll("\n", " ");
const code = (text) => `\`${text}\``;
const sentence = (text) => (/[.!?]$/.test(text) ? text : `${text}.`);

/** What a text must look like, in the words a wrong one is refused with. */
function rules(schema) {
  const tried = schema.safeParse("\u0000");
  const messages = tried.success ? [] : tried.error.issues.map(({ message }) => message);
  return [...new Set(messages.filter((message) => message.startsWith("must ")))];
}

function range({ minimum, maximum, exclusiveMinimum }) {
  const low = exclusiveMinimum === undefined ? minimum : `more than ${exclusiveMinimum}`;
  if (low === undefined) return "";
  return maximum === undefined || maximum >= Number.MAX_SAFE_INTEGER
    ? ` of at least ${low}`
    : ` from ${low} to ${maximum}`;
}

/** What a value may be, in words. */
function allowed(schema) {
  const inner = unwrap(schema);
  const json = z.toJSONSchema(inner, { io: "input", unrepresentable: "any" });
  if (json.enum !== undefined) return json.enum.map(code).join(", ");
  switch (json.type) {
    case "boolean":
      return "`true`, `false`";
    case "integer":
      return `whole number${range(json)}`;
    case "number":
      return `number${range(json)}`;
    case "array": {
      const item = inner._zod.def.element;
      return json.items?.type === "object" ? "list, see below" : `list of: ${allowed(item)}`;
    }
    default:
      return ["text", ...rules(inner)].join("; ");
  }
}

function fallback({ fallback: value, unit }) {
  if (value === undefined) return "none";
  if (Array.isArray(value)) return value.length === 0 ? "none" : value.map(code).join(", ");
  return `${code(String(value))}${unit === undefined ? "" : ` ${unit}`}`;
}

function table(group) {
  const rows = group.map((setting) => {
    const meaning = [
      sentence(setting.description),
      ...(setting.unit === undefined || setting.fallback !== undefined ? [] : [`In ${setting.unit}.`]),
      ...(setting.secret ? ["Never shown in logs or errors."] : []),
    ].join(" ");
    const cells = [
      code(setting.key),
      code(setting.env),
      fallback(setting),
      allowed(schemaAt(setting.path)),
      meaning,
    ];
    return `| ${cells.map(cell).join(" | ")} |`;
  });
  return [
    "| In the file | In the environment | Default | Allowed | Meaning |",
    "|---|---|---|---|---|",
    ...rows,
  ];
}

/** Fields of the objects in a list. */
function itemTables(group) {
  return group.flatMap((setting) => {
    const schema = schemaAt(setting.path);
    const item = schema._zod.def.type === "array" ? unwrap(schema._zod.def.element) : undefined;
    if (item?._zod.def.type !== "object") return [];
    const { properties, required = [] } = z.toJSONSchema(item, { io: "input", unrepresentable: "any" });
    const rows = Object.entries(properties).map(([field, of]) => {
      const given = of.default === undefined ? "" : code(JSON.stringify(of.default));
      const cells = [code(field), allowed(item.shape[field]), required.includes(field) ? "required" : given];
      return `| ${cells.map(cell).join(" | ")} |`;
    });
    return [
      "",
      `Each item of ${code(setting.key)} (in the environment: all of them as one JSON text):`,
      "",
      "| Field | Allowed | Default |",
      "|---|---|---|",
      ...rows,
    ];
  });
}

export function configurationPage() {
  const missing = [...otherNames].filter((name) => otherWords[name] === undefined);
  if (missing.length > 0)
    throw new Error(`Say what ${missing.join(", ")} is for in scripts/docs/configuration-page.mjs.`);
  const groups = Map.groupBy(settings, ({ path }) => (path.length > 1 ? path[0] : ""));
  const sections = [...groups].flatMap(([name, group]) => [
    `## ${titles[name] ?? inWords(name)}`,
    "",
    ...table(group),
    ...itemTables(group),
    "",
  ]);
  const others = [...otherNames].map((name) => `| ${code(name)} | ${cell(otherWords[name])} |`);
  return [
    ...preface,
    "",
    ...sections,
    "## Other names in the environment",
    "",
    "| Name | Meaning |",
    "|---|---|",
    ...others,
    "",
  ].join("\n");
}

const preface = `<!-- Written by npm run docs, from packages/server/src/config/schema.ts. -->
# Configuration

The hub runs without any: every setting has a default. A setting can be given in three places; a later one wins:

1. **the file**, YAML: the one \`--config FILE\` or \`OCELLI_CONFIG\` names, otherwise \`ocelli.yaml\` in the current folder if there is
   one. The service reads \`/etc/ocelli/ocelli.yaml\` (see [deployment.md](deployment.md)).
2. **the environment**: the name in the second column. The service reads \`/etc/ocelli/ocelli.env\`, which only root can
   read: the place for secrets.
3. **a flag**: the name of the file in small letters with dashes, so that \`recording.segmentSeconds\` is
   \`--recording-segment-seconds\`.

The same setting in all three:

\`\`\`yaml
# yaml-language-server: $schema=configuration.schema.json
recording:
  segmentSeconds: 600
\`\`\`

\`\`\`sh
OCELLI_RECORDING_SEGMENT_SECONDS=600 ocelli serve
ocelli serve --config my.yaml --recording-segment-seconds 600
\`\`\`

A dot in a name is a level in the file. A list is a YAML list, or items separated by commas, as in the environment. A name that
does not exist, or a value that is not allowed, keeps the hub from starting; it says all that is wrong at once, with where each
came from, and never repeats a secret. \`ocelli serve --help\` lists the same settings; \`ocelli doctor\` examines the machine with
them.

[configuration.schema.json](configuration.schema.json) is the JSON Schema of the file. An editor with a YAML language server
checks and completes the file by it, given the first line of the example (with the path to the schema).`.split(
  "\n",
);

/** For editors: what the file may hold. The hub itself also takes a comma list where this says array of texts. */
export function configurationSchema() {
  const schema = z.toJSONSchema(configSchema, {
    io: "input",
    target: "draft-07",
    unrepresentable: "any",
    override({ jsonSchema }) {
      if (jsonSchema.unit !== undefined) {
        jsonSchema.description = `${sentence(jsonSchema.description)} Unit: ${jsonSchema.unit}`;
        delete jsonSchema.unit;
      }
      delete jsonSchema.secret;
      // A group is there in any case; only its settings have defaults.
      if (jsonSchema.type === "object") delete jsonSchema.default;
    },
  });
  const { $schema, ...rest } = schema;
  const titled = { $schema, title: "Ocelli configuration", ...rest };
  return `${JSON.stringify(titled, null, 2)}\n`;
}
