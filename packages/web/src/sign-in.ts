/** The panel that asks who is there: an API key, or a name and a password. */
import type { Credential } from "./credential.ts";
import { byId } from "./dom.ts";
import { RpcError } from "./rpc.ts";
import { wordsOf } from "./words.ts";

const wayName = "ocelli.sign-in";

interface Way {
  readonly form: HTMLFormElement;
  readonly fields: readonly HTMLInputElement[];
  readonly wrong: string;
  readonly signIn: (values: readonly string[]) => Promise<void>;
}

export class SignIn {
  readonly #panel = byId("sign-in", HTMLElement);
  readonly #error = byId("sign-in-error", HTMLElement);
  readonly #other = byId("other-way", HTMLButtonElement);
  readonly #key: Way;
  readonly #password: Way;

  constructor(credential: Credential, onSignedIn: () => Promise<void>) {
    this.#key = {
      form: byId("key-form", HTMLFormElement),
      fields: [byId("key", HTMLInputElement)],
      wrong: "The hub does not know this key. Check that it was copied whole.",
      signIn: ([key = ""]) => credential.signInWithKey(key.trim()),
    };
    this.#password = {
      form: byId("password-form", HTMLFormElement),
      fields: [byId("username", HTMLInputElement), byId("password", HTMLInputElement)],
      wrong: "Wrong user name or password.",
      signIn: ([username = "", password = ""]) => credential.signInWithPassword(username.trim(), password),
    };
    for (const way of [this.#key, this.#password]) {
      way.form.addEventListener("submit", (event) => {
        event.preventDefault();
        void this.#try(way, onSignedIn);
      });
    }
    this.#other.addEventListener("click", () => {
      localStorage.setItem(wayName, this.#key.form.hidden ? "key" : "password");
      this.show("");
    });
  }

  get isShown(): boolean {
    return !this.#panel.hidden;
  }

  /** @param problem why, where that is not clear */
  show(problem: string): void {
    const byPassword = localStorage.getItem(wayName) === "password";
    this.#key.form.hidden = byPassword;
    this.#password.form.hidden = !byPassword;
    this.#other.textContent = byPassword ? "Use an API key" : "Use a name and a password";
    this.#panel.hidden = false;
    this.#tell(problem);
    (byPassword ? this.#password : this.#key).fields[0]?.focus();
  }

  hide(): void {
    this.#panel.hidden = true;
  }

  async #try(way: Way, onSignedIn: () => Promise<void>): Promise<void> {
    const button = way.form.querySelector("button");
    this.#tell("");
    if (button !== null) button.disabled = true;
    try {
      await way.signIn(way.fields.map(({ value }) => value));
      await onSignedIn();
      way.form.reset();
    } catch (error) {
      this.#tell(error instanceof RpcError && error.isAuthentication ? way.wrong : wordsOf(error));
    } finally {
      if (button !== null) button.disabled = false;
    }
  }

  #tell(problem: string): void {
    this.#error.textContent = problem;
    this.#error.hidden = problem === "";
  }
}
