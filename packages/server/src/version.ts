/** The version of the hub, as in its package.json. */
export const version = "0.1.0";
