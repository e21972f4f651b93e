/** URLs of cameras without what must not be seen. Pure. */
import { maskSecrets } from "../../log/mask.ts";

/** For identities, logs and errors: some cameras take a password in the path or the query. */
export function shownUrl(url: URL): string {
  return maskSecrets(withoutCredentials(url));
}

/** To ask with; credentials go into a header. */
export function withoutCredentials(url: URL): string {
  const clean = new URL(url);
  clean.username = "";
  clean.password = "";
  return clean.href;
}

/** User name, password and both together, as written in the URL and as meant; longest first. */
export function secretsOf(url: string): readonly string[] {
  const { username, password } = new URL(url);
  if (password === "") return username === "" ? [] : variants(username);
  return [`${username}:${password}`, ...variants(password)];
}

function variants(encoded: string): string[] {
  const decoded = decodePart(encoded);
  return decoded === encoded ? [encoded] : [encoded, decoded];
}

function decodePart(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** Value of an `Authorization: Basic` header, if the URL has credentials. */
export function basicAuthorization(url: URL): string | undefined {
  if (url.username === "" && url.password === "") return undefined;
  const plain = `${decodePart(url.username)}:${decodePart(url.password)}`;
  return `Basic ${Buffer.from(plain).toString("base64")}`;
}
