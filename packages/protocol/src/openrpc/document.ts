/**
 * The API as an OpenRPC 1.3 document, made from the schemas requests are read with. Pure: no I/O, no clock.
 *
 * OpenRPC knows one number an error; here it is that of the `path` vocabulary, and `x-error-codes` has both. It knows
 * no notifications; they are in `x-notifications`.
 */
import {
  type Condition,
  errorTable,
  type Method,
  type MethodName,
  methodNames,
  methods,
  notifications,
  otherNamesOf,
} from "../camera-service/index.ts";
import { errorWords } from "./error-words.ts";
import { exampleResult } from "./example-result.ts";
import { type JsonSchema, schemaOfInput, schemaOfOutput } from "./json-schema.ts";
import { methodWords } from "./method-words.ts";
import { notificationWords } from "./notification-words.ts";

export type ContentDescriptor = {
  readonly name: string;
  readonly description?: string;
  readonly required?: boolean;
  readonly schema: JsonSchema;
  /** Spellings of the same parameter in older clients. */
  readonly "x-other-names"?: readonly string[];
};

export interface DocumentedError {
  readonly code: number;
  readonly message: string;
  /** The stable codes behind the number, as in `error.data.code`. */
  readonly data: { readonly codes: readonly Condition[] };
}

export interface ExamplePairing {
  readonly name: string;
  readonly params: readonly { readonly name: string; readonly value: unknown }[];
  /** Of the right shape; the values are illustration. */
  readonly result: { readonly name: string; readonly value: unknown };
}

export type DocumentedMethod = {
  readonly name: MethodName;
  readonly summary: string;
  readonly paramStructure: "either";
  /** In the order of positional parameters. */
  readonly params: readonly ContentDescriptor[];
  readonly result: ContentDescriptor;
  readonly errors: readonly DocumentedError[];
  readonly examples: readonly ExamplePairing[];
  /** The least role that may call it; `public` needs no credential. */
  readonly "x-role": string;
};

export interface OpenRpcDocument {
  readonly openrpc: "1.3.2";
  readonly info: {
    readonly title: string;
    readonly version: string;
    readonly description: string;
    readonly license: { readonly name: string };
  };
  readonly servers: readonly { readonly name: string; readonly url: string; readonly description: string }[];
  readonly methods: readonly DocumentedMethod[];
  readonly "x-notifications": readonly ContentDescriptor[];
  /** Every stable code with its number in both vocabularies, and what to do about it. */
  readonly "x-error-codes": readonly {
    readonly code: Condition;
    readonly path: number;
    readonly logical: number;
    readonly description: string;
  }[];
}

/** @param version of the hub that serves the document */
export function openRpcDocument(version: string): OpenRpcDocument {
  return {
    openrpc: "1.3.2",
    info: {
      title: "Ocelli camera service",
      version,
      description:
        "JSON-RPC 2.0 over a WebSocket. Call authenticate first, unless a header at the handshake did. Unknown parameters are ignored, null counts as absent, numbers may be digits in a text.",
      license: { name: "MIT" },
    },
    servers: [
      {
        name: "hub",
        url: "ws://localhost:8002/ws",
        description: "Any address the hub listens on, with the path /ws; wss where TLS is configured.",
      },
    ],
    methods: methodNames.map(documented),
    "x-notifications": Object.entries(notifications).map(([name, schema]) => ({
      name,
      description: notificationWords[name as keyof typeof notifications],
      schema: schemaOfOutput(schema),
    })),
    "x-error-codes": conditions
      .filter((code) => errorWords[code] !== "")
      .map((code) => ({
        code,
        path: errorTable[code].path.code,
        logical: errorTable[code].logical.code,
        description: errorWords[code],
      })),
  };
}

const conditions = Object.keys(errorTable) as Condition[];

/** The general shape of a method, without the types of its parameters. */
function methodOf(name: MethodName): Method {
  return methods[name];
}

function documented(name: MethodName): DocumentedMethod {
  const { access, result } = methodOf(name);
  const { summary = "", example = {}, exampleAnswer } = wordsOf(name);
  const schema = schemaOfOutput(result);
  return {
    name,
    summary,
    paramStructure: "either",
    params: parametersOf(name),
    result: { name: `${name}_result`, schema },
    errors: errorsOf(name),
    examples: [
      {
        name: "typical",
        params: Object.entries(example).map(([parameter, value]) => ({ name: parameter, value })),
        result: { name: `${name}_result`, value: exampleResult(schema, exampleAnswer) },
      },
    ],
    "x-role": access,
  };
}

/** The parameters of a method, in the order of positional ones. */
export function parametersOf(name: MethodName): ContentDescriptor[] {
  const words: Readonly<Record<string, string | undefined>> = wordsOf(name).params ?? {};
  let before = "";
  return Object.entries(methodOf(name).params.shape).map(([parameter, schema]) => {
    const description = words[parameter] || before;
    before = description;
    const otherNames = otherNamesOf(parameter);
    return {
      name: parameter,
      description,
      required: !schema.isOptional(),
      schema: schemaOfInput(schema),
      ...(otherNames.length === 0 ? {} : { "x-other-names": otherNames }),
    };
  });
}

/** Stable codes a method may fail with: what follows from its schema and role, then what its words add. */
export function conditionsOf(name: MethodName): Condition[] {
  const { access, params } = methodOf(name);
  const has = (parameter: string): boolean => Object.hasOwn(params.shape, parameter);
  return [
    ...new Set<Condition>([
      "invalid_params",
      "internal",
      "rate_limited",
      ...(access === "public"
        ? []
        : (["auth_required", "auth_failed", "token_expired", "permission_denied"] as const)),
      ...(has("device") ? (["camera_not_found"] as const) : []),
      ...(has("filename") ? (["invalid_filename"] as const) : []),
      ...(wordsOf(name).errors ?? []),
    ]),
  ];
}

/** OpenRPC wants each number once. */
function errorsOf(name: MethodName): DocumentedError[] {
  const byNumber = new Map<number, Condition[]>();
  for (const condition of conditionsOf(name)) {
    const { code } = errorTable[condition].path;
    byNumber.set(code, [...(byNumber.get(code) ?? []), condition]);
  }
  return [...byNumber].map(([code, codes]) => ({ code, message: messageOf(codes), data: { codes } }));
}

function messageOf([first = "internal"]: readonly Condition[]): string {
  const { path, logical } = errorTable[first];
  return path.message.replace(/:? ?\*/, "") || logical.message;
}

interface AnyWords {
  readonly summary?: string;
  readonly params?: Readonly<Record<string, string | undefined>>;
  readonly example?: object;
  readonly exampleAnswer?: unknown;
  readonly errors?: readonly Condition[];
}

function wordsOf(name: MethodName): AnyWords {
  return methodWords[name] ?? {};
}

/** What the document lacks, in words for whoever added a method; empty when it is complete. */
export function missingWords(): string[] {
  const where = "in packages/protocol/src/openrpc/words, then run: npm run docs";
  return methodNames.flatMap((name) => {
    const { summary, params = {}, example = {} } = wordsOf(name);
    const shape = Object.entries(methodOf(name).params.shape);
    const silent = shape.filter(([parameter]) => params[parameter] === undefined);
    const lacking = shape.filter(
      ([parameter, schema]) => !schema.isOptional() && !Object.hasOwn(example, parameter),
    );
    return [
      ...(summary === undefined ? [`Say what the method ${name} is for ${where}`] : []),
      ...silent.map(([parameter]) => `Describe the parameter ${parameter} of ${name} ${where}`),
      ...lacking.map(([parameter]) => `Give ${parameter} a value in the example of ${name} ${where}`),
    ];
  });
}
