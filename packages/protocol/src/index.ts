export { codeOf, type ErrorCode, type ErrorDetails, errorCodes, messageOf, OcelliError } from "./errors.ts";
export { ruleOf, sentenceOf, sentencesOf } from "./issues.ts";
