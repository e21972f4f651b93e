import { AuthenticationError } from "./errors.ts";
import { credentialOf, type Settings } from "./options.ts";
import { isTokenExpired } from "./token.ts";

/** So many past credentials are kept out of the log. */
const remembered = 10;

/** The API key or token in use: the one of the options, or one that came later. */
export class Credential {
  readonly #settings: Settings;
  #current: string | undefined;
  /** The latest first. */
  #all: readonly string[] = [];
  #refreshing: Promise<void> | undefined;

  constructor(settings: Settings) {
    this.#settings = settings;
  }

  /** What must not be logged. */
  get secrets(): readonly (string | undefined)[] {
    return [this.#settings.authToken, this.#settings.apiKey, ...this.#all];
  }

  get canRefresh(): boolean {
    return this.#settings.refreshToken !== undefined;
  }

  /** One that came after those of the options. */
  get current(): string | undefined {
    return this.#current;
  }

  /**
   * A token about to expire is replaced first.
   * @throws AuthenticationError
   */
  async fresh(): Promise<string | undefined> {
    const { authType } = this.#settings;
    const credential = this.#current ?? (this.canRefresh ? this.#given() : credentialOf(this.#settings));
    const stale = credential === undefined || (authType === "jwt" && isTokenExpired(credential, 5));
    if (this.canRefresh && stale) await this.refresh();
    return this.#current ?? credential;
  }

  /**
   * One at a time; all who need it wait for the same one.
   * @throws AuthenticationError
   */
  refresh(): Promise<void> {
    this.#refreshing ??= (async () => {
      try {
        const credential = await this.#settings.refreshToken?.();
        if (typeof credential !== "string" || credential === "") throw new Error("it returned no token");
        this.replace(credential);
      } catch (cause) {
        const why = cause instanceof Error ? cause.message : String(cause);
        throw new AuthenticationError(`refreshToken failed: ${why}`, { condition: "auth_failed", cause });
      } finally {
        this.#refreshing = undefined;
      }
    })();
    return this.#refreshing;
  }

  replace(credential: string): void {
    this.#current = credential;
    this.#all = [credential, ...this.#all].slice(0, remembered);
  }

  #given(): string | undefined {
    return this.#settings.authType === "jwt" ? this.#settings.authToken : this.#settings.apiKey;
  }
}
