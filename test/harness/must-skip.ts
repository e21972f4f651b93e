/**
 * Whether tests that need `what` have to be skipped on this machine. In CI nothing is: there it throws, which fails
 * the file.
 */
export function mustSkip(what: string, isHere: boolean): boolean {
  if (isHere) return false;
  if (process.env.CI === "true") throw new Error(`${what}: not here, and in CI no test may be skipped`);
  console.warn(`Tests are skipped, since this is not here: ${what}.`);
  return true;
}
