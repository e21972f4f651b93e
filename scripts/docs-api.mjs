// The older name of `npm run docs`.
import "./docs.mjs";
