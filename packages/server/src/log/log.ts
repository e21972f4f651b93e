import type { Logger } from "pino";

/** The logger handed to every part: a pino child carrying the owner's name. */
export type Log = Logger;
