// `npm run soak`: ten minutes with clients coming and going; `--minutes N` for another time.
import { measure } from "./measure.mjs";

measure("bench/soak/main.ts");
