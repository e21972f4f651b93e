// The tables of docs/api.md, from the schemas and words of packages/protocol.
import { OcelliError } from "@ocelli/protocol";
import { errorTable, methods } from "@ocelli/protocol/camera-service";
import {
  errorWords,
  methodWords,
  missingWords,
  parametersOf,
  schemaOfOutput,
} from "@ocelli/protocol/openrpc";
import { httpStatusOf } from "../../packages/server/src/api/http-errors.ts";

function typeOf(schema) {
  if (schema.title === "time" || schema.format === "date-time") return "time";
  const { type } = schema;
  const kinds = Array.isArray(type) ? type.map((one) => ({ ...schema, type: one })) : schema.anyOf;
  if (kinds !== undefined) return [...new Set(kinds.map(typeOf))].join(" or ");
  if (schema.const !== undefined) return `\`${schema.const}\``;
  if (schema.enum !== undefined) return schema.enum.map((value) => `\`${value}\``).join(" ");
  if (schema.type === "array") {
    const item = schema.items?.enum === undefined ? typeOf(schema.items ?? {}) : "text";
    return `list of ${item === "text" ? "texts" : item === "integer" ? "integers" : "objects"}`;
  }
  if (schema.type === "string") return "text";
  if (schema.type === "integer" || schema.type === "number") {
    const { minimum, maximum, exclusiveMinimum } = schema;
    const low = minimum ?? (exclusiveMinimum === undefined ? undefined : `more than ${exclusiveMinimum}`);
    const bounded = maximum !== undefined && maximum < 2 ** 31;
    if (bounded && low !== undefined) return `${schema.type} ${low} to ${maximum}`;
    return schema.type;
  }
  return schema.type ?? "anything";
}

function parameters(name) {
  const words = methodWords[name]?.params ?? {};
  const rows = parametersOf(name).map(({ name: parameter, required, schema }) => {
    const must = required ? " (required)" : "";
    return `| \`${parameter}\`${must} | ${typeOf(schema)} | ${words[parameter]} |`;
  });
  return rows.length === 0 ? [] : ["", "| Parameter | Type | Meaning |", "|---|---|---|", ...rows];
}

function answer(name) {
  const schema = schemaOfOutput(methods[name].result);
  const branches = schema.anyOf ?? [schema];
  // What failures look like in-band is the same for all and told once.
  const wanted = branches.filter(
    ({ properties }) => properties !== undefined && properties.success?.const !== false,
  );
  if (wanted.length === 0)
    return `Answers ${schema.const === undefined ? `a ${typeOf(schema)}` : `\`"${schema.const}"\``}.`;
  const fields = Object.entries(wanted[0].properties).map(([field, of]) => `\`${field}\` ${typeOf(of)}`);
  return `Answers ${fields.join(", ")}.`;
}

function methodSections() {
  const sections = Object.entries(methods).map(([name, { access }]) => {
    const who = access === "public" ? "anybody" : access;
    const head = [`### ${name}`, "", `${methodWords[name].summary} Role: ${who}.`];
    if (name === "capture_snapshot") return head.join("\n");
    return [...head, ...parameters(name), "", answer(name)].join("\n");
  });
  return sections.join("\n\n");
}

function errorSection() {
  const rows = Object.entries(errorTable).flatMap(([name, { path, logical }]) => {
    const remedy = errorWords[name];
    if (remedy === "") return [];
    const http = ["parse_error", "invalid_request", "method_not_found"].includes(name)
      ? ""
      : httpStatusOf(new OcelliError(name === "token_expired" ? "auth_failed" : name, ""));
    return [`| \`${name}\` | ${path.code} | ${logical.code} | ${http} | ${remedy} |`];
  });
  return [
    "| `data.code` | older numbers | newer numbers | HTTP | What to do |",
    "|---|---|---|---|---|",
    ...rows,
  ].join("\n");
}

function filled(text, marker, content) {
  const pattern = new RegExp(`(<!-- ${marker}: .*? -->\n)[\\s\\S]*?(<!-- end of ${marker} -->)`);
  if (!pattern.test(text)) throw new Error(`docs/api.md has no markers for ${marker}.`);
  return text.replace(pattern, (_all, begin, end) => `${begin}\n${content}\n\n${end}`);
}

/** @param now the page as it is: what is outside the markers stays */
export function apiPage(now) {
  const missing = missingWords();
  if (missing.length > 0) throw new Error(missing.join("\n"));
  return filled(filled(now, "methods", methodSections()), "errors", errorSection());
}
