// Writes what the documentation takes from the code: the tables of docs/api.md, docs/configuration.md and
// docs/configuration.schema.json. `npm run docs` after a change of a method, an error or a setting; with --check it only
// says whether they are current.
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { apiPage } from "./docs/api-page.mjs";
import { configurationPage, configurationSchema } from "./docs/configuration-page.mjs";

const folder = join(dirname(dirname(fileURLToPath(import.meta.url))), "docs");
const pages = {
  "api.md": apiPage,
  "configuration.md": configurationPage,
  "configuration.schema.json": configurationSchema,
};

const isCheck = process.argv.includes("--check");
for (const [name, make] of Object.entries(pages)) {
  const file = join(folder, name);
  const now = existsSync(file) ? readFileSync(file, "utf8") : "";
  let wanted;
  try {
    wanted = make(now);
  } catch (error) {
    console.error(`docs/${name}: ${error.message}`);
    process.exit(2);
  }
  if (wanted === now) continue;
  if (isCheck) {
    console.error(`docs/${name} is not current: run npm run docs, and commit it`);
    process.exitCode = 1;
  } else {
    writeFileSync(file, wanted);
    console.log(`docs/${name} written`);
  }
}
