/**
 * The one place that takes secrets out of text meant for logs, errors and people: user-info of URLs,
 * secret-looking query parameters, Authorization headers, and the strings a caller knows to be secret.
 */

export const masked = "***";

// Greedy up to the last `@` before the path, because passwords with a bare `@` or `:` are common. The scheme is bounded, or a long
// text of letters would take time by the square of its length.
const userInfo = /([a-z][a-z0-9+.-]{0,30}:\/\/)[^\s/?#"'<>]*@/gi;
// Some cameras want their password in the path, as in `/user=admin_password=x`.
const queryParameter =
  /((?:_(?=passw|pwd)|[?&;])(?:[\w-]*(?:password|passwd|passphrase|token|secret|signature|api[_-]?key|apikey)|pwd|pass|loginpas|auth|key|sig|streamid)=)[^&;\s"'<>#]*/gi;
const authorization = /(authorization\s*[:=]\s*)(?:(basic|bearer|digest)\s+)?[^\r\n"'\\]+/gi;

/**
 * `text` with every secret replaced by `***`.
 *
 * @param secrets strings to mask wherever they occur, also in URL-encoded form; those shorter than 3
 *   characters are left to the patterns, because masking them everywhere would make the text unreadable
 */
export function maskSecrets(text: string, secrets: readonly string[] = []): string {
  let result = text;
  for (const secret of [...secrets].sort((a, b) => b.length - a.length)) {
    if (secret.length < 3) continue;
    result = result.replaceAll(secret, masked);
    const encoded = encodeURIComponent(secret);
    if (encoded !== secret) result = result.replaceAll(encoded, masked);
  }
  return result
    .replace(userInfo, `$1${masked}@`)
    .replace(queryParameter, `$1${masked}`)
    .replace(authorization, (_all, head: string, scheme?: string) =>
      scheme === undefined ? `${head}${masked}` : `${head}${scheme} ${masked}`,
    );
}

/** The user-info (whole, and the password alone, also decoded) of every URL among `texts`, for `maskSecrets`. */
export function secretsInUrls(texts: readonly string[]): string[] {
  const found = new Set<string>();
  for (const text of texts) {
    const start = text.indexOf("://");
    if (start < 0) continue;
    // Here the last `@` of the whole URL counts: a password with `/` or `#` is masked too.
    const rest = text.slice(start + 3);
    const query = rest.indexOf("?");
    const end = (query < 0 ? rest : rest.slice(0, query)).lastIndexOf("@");
    if (end <= 0) continue;
    const info = rest.slice(0, end);
    // `host/path@version` has no user-info.
    if (info.includes("/") && !info.slice(0, info.indexOf("/")).includes(":")) continue;
    found.add(info);
    const colon = info.indexOf(":");
    if (colon < 0) continue;
    const password = info.slice(colon + 1);
    for (const form of [password, decoded(password)]) if (form.length >= 3) found.add(form);
  }
  return [...found];
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
