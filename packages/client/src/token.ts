/** What a JSON Web Token says of its own end. Its signature is the server's to check. */

/** Epoch seconds of `exp`; `undefined` when the token has none or cannot be read. */
export function tokenExpiry(token: string): number | undefined {
  const claims = claimsOf(token);
  return typeof claims?.exp === "number" && Number.isFinite(claims.exp) ? claims.exp : undefined;
}

/**
 * Whether a JWT is past its end, or will be within `leewaySeconds`. A token without `exp` never expires; what
 * cannot be read as a JWT counts as expired.
 */
export function isTokenExpired(token: string, leewaySeconds = 0): boolean {
  const claims = claimsOf(token);
  if (claims === undefined) return true;
  if (claims.exp === undefined) return false;
  return typeof claims.exp !== "number" || claims.exp <= Date.now() / 1000 + leewaySeconds;
}

function claimsOf(token: string): { exp?: unknown } | undefined {
  const [, payload, signature] = token.replace(/^Bearer /, "").split(".");
  if (payload === undefined || signature === undefined) return undefined;
  try {
    const bytes = Uint8Array.from(atob(payload.replace(/-/g, "+").replace(/_/g, "/")), (char) =>
      char.charCodeAt(0),
    );
    const claims: unknown = JSON.parse(new TextDecoder().decode(bytes));
    return typeof claims === "object" && claims !== null && !Array.isArray(claims) ? claims : undefined;
  } catch {
    return undefined;
  }
}
