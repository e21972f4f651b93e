import { statSync } from "node:fs";
import { fileURLToPath } from "node:url";

/** The version of the hub, as in its package.json. */
export const version = "0.1.0";

/** When the compiler wrote this file: the build from scratch, such as an installation. ISO 8601. */
export const buildDate = statSync(fileURLToPath(import.meta.url)).mtime.toISOString();
