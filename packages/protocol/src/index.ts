export { codeOf, type ErrorCode, type ErrorDetails, errorCodes, messageOf, OcelliError } from "./errors.ts";
