/** From the `params` member of a request to what a method works with: positions, aliases, absent values, coercions, rules. */
import { OcelliError } from "../errors.ts";
import { ruleOf, sentenceOf } from "../issues.ts";
import { type MethodName, methods, type ParamsOf } from "./methods.ts";

/** Older spellings, in order of precedence after the name itself. */
const aliases: Readonly<Record<string, readonly string[]>> = {
  device: ["device_path", "camera", "camera_id"],
  filename: ["custom_filename"],
  recording_id: ["session_id"],
};

/** Older spellings of a parameter. */
export function otherNamesOf(parameter: string): readonly string[] {
  return aliases[parameter] ?? [];
}

/** Names under which any call may carry a credential. */
export const tokenNames = ["auth_token", "token"] as const;

export type RawParams = Readonly<Record<string, unknown>>;

/**
 * `params` as an object with the names of the schema; null counts as absent, unknown keys are dropped.
 * @throws OcelliError `invalid_params` for scalars and for too many positional parameters
 */
export function namedParams(method: MethodName, params: unknown): RawParams {
  if (params === undefined || params === null) return {};
  if (typeof params !== "object") throw invalid("params must be an object or an array", "params");
  const names = Object.keys(methods[method].params.shape);
  if (Array.isArray(params)) {
    if (params.length > names.length) {
      throw invalid(`${method} takes at most ${names.length} positional parameters`, "params");
    }
    return Object.fromEntries(
      names.map((name, index) => [name, params[index]]).filter(([, value]) => value != null),
    );
  }
  const given = new Map<string, unknown>();
  for (const name of names) {
    const spelling = [name, ...(aliases[name] ?? [])].find(
      (one) => Object.hasOwn(params, one) && own(params, one) != null,
    );
    if (spelling !== undefined) given.set(name, own(params, spelling));
  }
  return Object.fromEntries(given);
}

/**
 * The parameters of `method` in normal form.
 * @throws OcelliError `invalid_params`; details name the parameter and the rule it broke
 */
export function readParams<M extends MethodName>(method: M, params: unknown): ParamsOf<M> {
  const named = namedParams(method, params);
  const parsed = methods[method].params.safeParse(named);
  // The compiler cannot follow a schema looked up by a type parameter.
  if (parsed.success) return parsed.data as ParamsOf<M>;
  const issue = parsed.error.issues[0];
  if (issue === undefined) throw invalid("params are not valid", "params");
  const name = issue.path.map(String).join(".");
  throw invalid(sentenceOf(issue, named, "params"), name, ruleOf(issue));
}

/** A credential in the parameters of an ordinary call, or `undefined`. */
export function tokenIn(params: unknown): string | undefined {
  if (typeof params !== "object" || params === null) return undefined;
  for (const name of tokenNames) {
    const value = Object.hasOwn(params, name) ? own(params, name) : undefined;
    if (typeof value === "string" && value !== "") return value;
  }
  return undefined;
}

function own(object: object, name: string): unknown {
  return Object.getOwnPropertyDescriptor(object, name)?.value;
}

function invalid(text: string, param: string, rule?: string): OcelliError {
  return new OcelliError("invalid_params", text, {
    details: { param, ...(rule === undefined ? {} : { rule }) },
  });
}
