// `npm run bench`: measures; `npm run bench -- --help` says what can be chosen.
import { measure } from "./measure.mjs";

measure("bench/main.ts");
