/** What a schema found wrong, in sentences for people: which value, what it must be, what was given. */
import type { z } from "zod";

type Issue = z.core.$ZodIssue;

const kinds: Readonly<Record<string, string>> = {
  string: "a text",
  number: "a number",
  int: "a whole number",
  boolean: "true or false",
  array: "a list",
  object: "an object",
  record: "an object",
  null: "null",
  undefined: "absent",
};

/** Names whose values are never repeated. */
const secretName = /token|key|secret|password|jwt|url|credential/i;

/**
 * What the value must be: `must be at least 1`. A text the schema itself gives is kept.
 */
export function ruleOf(issue: Issue): string {
  // Texts of the library begin so; all others are the schema's own.
  if (!/^(Invalid|Too (small|big)|Unrecognized)/.test(issue.message)) return issue.message;
  switch (issue.code) {
    case "invalid_type":
      return `must be ${kinds[issue.expected] ?? `of type ${issue.expected}`}`;
    case "invalid_value":
      return issue.values.length === 1
        ? `must be ${String(issue.values[0])}`
        : `must be one of ${issue.values.map(String).join(", ")}`;
    case "too_small":
      return `must ${bound(issue.origin, Number(issue.minimum), issue.inclusive === false ? "more than" : "at least")}`;
    case "too_big":
      return `must ${bound(issue.origin, Number(issue.maximum), issue.inclusive === false ? "less than" : "at most")}`;
    case "not_multiple_of":
      return `must be a multiple of ${issue.divisor}`;
    case "unrecognized_keys":
      return `has no member ${issue.keys.join(", ")}`;
    case "invalid_union": {
      const rules = new Set(issue.errors.flatMap((branch) => branch.slice(0, 1).map(ruleOf)));
      return rules.size === 0 ? "is none of what is allowed" : [...rules].join(", or ");
    }
    case "invalid_format":
      return issue.format === "regex" ? "does not have the right form" : `must be a valid ${issue.format}`;
    default:
      return "is not allowed";
  }
}

/**
 * One sentence of one issue: `limit must be at most 1000, not 5000.`
 * @param value what was checked, whole; what was given is told from it, unless its name says that it is a secret
 * @param whole the name of the value itself, for an issue that is not about a part of it
 */
export function sentenceOf(issue: Issue, value: unknown, whole = "The value"): string {
  const path = issue.path.map(String).join(".");
  const rule = ruleOf(issue);
  const name = path === "" ? whole : path;
  const found = issue.path.reduce<unknown>(
    (node, part) => (typeof node === "object" && node !== null ? Reflect.get(node, part) : undefined),
    value,
  );
  if (found === undefined && issue.code !== "unrecognized_keys" && issue.code !== "custom") {
    return `${name} is required`;
  }
  const verb = /^(must|has|is|does)\b/.test(rule) ? " " : ": ";
  const given = shown(found, path);
  return `${name}${verb}${rule}${given === undefined || !rule.startsWith("must") ? "" : `, not ${given}`}`;
}

/** All of them: `fps must be a number, not "fast"; size is required.` */
export function sentencesOf(
  error: { readonly issues: readonly Issue[] },
  value: unknown,
  whole?: string,
): string {
  return `${error.issues.map((issue) => sentenceOf(issue, value, whole)).join("; ")}.`;
}

function bound(origin: string, limit: number, words: string): string {
  if (origin === "string") {
    if (limit === 1 && words === "at least") return "not be empty";
    return `have ${words} ${limit} characters`;
  }
  if (origin === "array" || origin === "set")
    return `have ${words} ${limit} ${limit === 1 ? "entry" : "entries"}`;
  return `be ${words} ${limit}`;
}

/** What was given, short; `undefined` for what is not to be repeated. */
function shown(value: unknown, path: string): string | undefined {
  if (secretName.test(path) || (typeof value === "object" && value !== null)) return undefined;
  const text = typeof value === "string" ? JSON.stringify(value) : String(value);
  return text.length <= 60 ? text : `${text.slice(0, 60)}…`;
}
