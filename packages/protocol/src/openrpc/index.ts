export * from "./document.ts";
export { errorWords } from "./error-words.ts";
export { type JsonSchema, schemaOfInput, schemaOfOutput } from "./json-schema.ts";
export { methodWords } from "./method-words.ts";
