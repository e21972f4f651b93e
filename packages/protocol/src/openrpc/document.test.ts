import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { Ajv } from "ajv";
import addFormats from "ajv-formats";
import { describe, expect, it } from "vitest";
import { errorTable, methodNames, methods, readParams, roles } from "../camera-service/index.ts";
import { missingWords, openRpcDocument } from "./index.ts";

/** CommonJS, and its types do not say what it exports. */
const { openrpcDocument: metaSchema } = createRequire(import.meta.url)("@open-rpc/meta-schema");

const document = openRpcDocument("1.2.3");

/** Draft 7, as OpenRPC's own meta schema means it. */
const ajv = new Ajv({ strict: true, allowUnionTypes: true, allErrors: true });
// The package is CommonJS; its types promise a default import that Node gives as an object.
(addFormats as unknown as (ajv: Ajv) => void)(ajv);

describe("the OpenRPC document", () => {
  it("is one, by the specification's own schema", () => {
    const loose = new Ajv({ strict: false });
    (addFormats as unknown as (ajv: Ajv) => void)(loose);
    // The meta schema takes the schema of schemas from a host of its own: here it is draft 7, which ajv has.
    const { $schema: _, ...schema } = JSON.parse(
      JSON.stringify(metaSchema)
        .replaceAll(
          '{"$ref":"https://meta.json-schema.tools"}',
          '{"$ref":"http://json-schema.org/draft-07/schema#"}',
        )
        .replaceAll(/\{"\$ref":"https:\/\/meta.json-schema.tools\/#[^"]*"\}/g, '{"type":"string"}'),
    );
    const isValid = loose.compile(schema);
    isValid(document);
    expect(isValid.errors ?? []).toEqual([]);
    expect(isValid({ ...document, methods: [{ name: "x" }] })).toBe(false);
    expect(isValid({ ...document, info: {} })).toBe(false);
  });

  it("has every method once, with its role, in words", () => {
    expect(missingWords()).toEqual([]);
    expect(document.methods.map(({ name }) => name)).toEqual(methodNames);
    expect(document.info.version).toBe("1.2.3");
    for (const { name, summary, params, "x-role": role } of document.methods) {
      expect(role, name).toBe(methods[name].access);
      expect(["public", ...roles], name).toContain(role);
      expect(summary.length, name).toBeGreaterThan(10);
      expect(
        params.map((param) => param.name),
        name,
      ).toEqual(Object.keys(methods[name].params.shape));
      for (const param of params) expect(param.description, `${name}.${param.name}`).not.toBe("");
    }
  });

  it("has schemas that compile, and examples that both they and the hub take", () => {
    for (const { name, params, result, examples } of document.methods) {
      const isAnswer = ajv.compile(result.schema);
      for (const example of examples) {
        isAnswer(example.result.value);
        expect(isAnswer.errors ?? [], `${name}: ${JSON.stringify(example.result.value)}`).toEqual([]);
        for (const { name: parameter, value } of example.params) {
          const schema = params.find((one) => one.name === parameter)?.schema;
          if (schema === undefined) throw new Error(`the example of ${name} has an unknown ${parameter}`);
          const isValid = ajv.compile(schema);
          isValid(value);
          expect(isValid.errors ?? [], `${name}.${parameter}`).toEqual([]);
        }
        const given = Object.fromEntries(example.params.map((one) => [one.name, one.value]));
        expect(() => readParams(name, given), name).not.toThrow();
      }
    }
  });

  it("says which parameters a call cannot do without", () => {
    for (const { name, params, examples } of document.methods) {
      const given = Object.fromEntries(examples[0]?.params.map((one) => [one.name, one.value]) ?? []);
      for (const { name: parameter, required } of params) {
        const { [parameter]: _, ...rest } = given;
        const call = () => readParams(name, rest);
        if (required) expect(call, `${name} without ${parameter}`).toThrow(`${parameter} is required`);
        else expect(call, `${name} without ${parameter}`).not.toThrow();
      }
    }
  });

  it("has required parameters before the others, as the specification wants it", () => {
    for (const { name, params } of document.methods) {
      const required = params.map((param) => param.required);
      const sorted = required.toSorted((one, other) => Number(other) - Number(one));
      expect(required, `${name}: ${params.map((param) => param.name).join(", ")}`).toEqual(sorted);
    }
  });

  it("has each number of error once a method, and numbers that are in use", () => {
    const numbers = new Set(Object.values(errorTable).map(({ path }) => path.code));
    for (const { name, errors } of document.methods) {
      const codes = errors.map(({ code }) => code);
      expect(new Set(codes).size, name).toBe(codes.length);
      for (const { code, message } of errors) {
        expect(numbers, name).toContain(code);
        expect(message, name).not.toMatch(/\*|^$/);
      }
    }
  });
});

describe("docs/configuration.schema.json", () => {
  it("takes the configuration the hub is installed with, and refuses what the hub refuses", async () => {
    const { parse } = await import("yaml");
    const read = (path: string) => readFileSync(new URL(`../../../../${path}`, import.meta.url), "utf8");
    const isValid = ajv.compile(JSON.parse(read("docs/configuration.schema.json")));
    const check = (text: string): boolean => isValid(parse(text));
    expect(check(read("deploy/ocelli.yaml"))).toBe(true);
    expect(check("recording:\n  segmentSeconds: 60\ncameras:\n  - url: rtsp://camera.local/a\n")).toBe(true);
    expect(check("recording:\n  segmentSecond: 60\n")).toBe(false);
    expect(check("logLevel: loud\n")).toBe(false);
    expect(check("cameras:\n  - name: no url\n")).toBe(false);
  });
});
