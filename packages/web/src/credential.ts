/**
 * As whom this page speaks to the hub: an API key, or a token it got for a name and a password. Keeps it in the
 * browser, and renews a token for as long as the page is open; a password is never kept.
 */
import { isRecord, type Rpc } from "./rpc.ts";

const keyName = "ocelli.key";
/** The longest a browser's timer can wait is 2^31 ms. */
const longestWaitMs = 2 ** 31 - 1;

export function storedCredential(): string | undefined {
  return localStorage.getItem(keyName) ?? undefined;
}

function store(credential: string | undefined): void {
  if (credential === undefined) localStorage.removeItem(keyName);
  else localStorage.setItem(keyName, credential);
}

export class Credential {
  readonly #rpc: Rpc;
  readonly #onEnd: () => void;
  #timer: number | undefined;

  /** @param onEnd the credential is not valid any more */
  constructor(rpc: Rpc, onEnd: () => void) {
    this.#rpc = rpc;
    this.#onEnd = onEnd;
  }

  /** Makes the connection speak as whom the browser knows, if it knows anybody. @throws RpcError */
  async resume(): Promise<void> {
    const known = storedCredential();
    if (known !== undefined) await this.#use(known);
  }

  /** @throws RpcError */
  async signInWithKey(key: string): Promise<void> {
    await this.#use(key);
  }

  /** @throws RpcError */
  async signInWithPassword(username: string, password: string): Promise<void> {
    await this.#use(await this.#token("login", { username, password }));
  }

  forget(): void {
    clearTimeout(this.#timer);
    store(undefined);
  }

  async #use(credential: string): Promise<void> {
    clearTimeout(this.#timer);
    const answer = await this.#rpc.call("authenticate", { auth_token: credential });
    store(credential);
    if (!isRecord(answer) || answer.auth_method !== "jwt") return;
    const leftMs = Date.parse(String(answer.expires_at)) - Date.now();
    this.#timer = window.setTimeout(() => void this.#renew(leftMs), Math.min(leftMs / 2, longestWaitMs));
  }

  async #renew(leftMs: number): Promise<void> {
    const known = storedCredential();
    // Somebody may sign out meanwhile, here or on another page of this browser: that stands.
    const signedOut = (): boolean => storedCredential() !== known;
    try {
      const token = await this.#token("refresh_token", {});
      if (!signedOut()) await this.#use(token);
    } catch {
      if (signedOut()) return;
      // It is still good: for another try when the connection is back, and else until its end.
      this.#timer = window.setTimeout(() => this.#onEnd(), Math.min(leftMs / 2, longestWaitMs));
    }
  }

  async #token(method: string, params: Readonly<Record<string, unknown>>): Promise<string> {
    const answer = await this.#rpc.call(method, params);
    if (!isRecord(answer) || typeof answer.token !== "string") throw new Error("The hub gave no token.");
    return answer.token;
  }
}
