/**
 * Password hashes: scrypt, with its parameters and a salt beside the hash. Hashing takes memory and a thread of the
 * pool that also serves files, so only a few run at a time and only so many wait.
 */
import { randomBytes, scrypt, timingSafeEqual } from "node:crypto";
import { OcelliError } from "@ocelli/protocol";

interface Cost {
  readonly n: number;
  readonly r: number;
  readonly p: number;
}

/** 32 MiB, some tenths of a second. */
const defaultCost: Cost = { n: 2 ** 15, r: 8, p: 3 };
const saltBytes = 16;
const hashBytes = 32;
const atATime = 2;
const maxWaiting = 50;

export const shortestPassword = 10;
export const longestPassword = 256;

/** Whether a password is one the hub takes, in words; `undefined` when it is. */
export function whatIsWrongWith(password: string, username: string): string | undefined {
  const length = [...normalized(password)].length;
  if (length < shortestPassword) return `must have ${shortestPassword} characters or more`;
  if (length > longestPassword) return `must have ${longestPassword} characters at most`;
  if (normalized(password).toLowerCase() === username.toLowerCase()) return "must not be the user name";
  return undefined;
}

export class Passwords {
  readonly #cost: Cost;
  readonly #nobody: Promise<string>;
  readonly #waiting: (() => void)[] = [];
  #running = 0;

  /** @param cost Default: 32 MiB and some tenths of a second; smaller for tests only. */
  constructor(cost: Cost = defaultCost) {
    this.#cost = cost;
    const salt = Buffer.alloc(saltBytes);
    this.#nobody = Promise.resolve(format(cost, salt, randomBytes(hashBytes)));
  }

  /** @throws OcelliError `rate_limited` while too many wait */
  async hash(password: string): Promise<string> {
    const salt = randomBytes(saltBytes);
    return format(this.#cost, salt, await this.#derive(password, salt, this.#cost));
  }

  /**
   * Takes as long for a user that does not exist (`undefined`), and then says no.
   * @throws OcelliError `rate_limited` while too many wait
   */
  async matches(password: string, stored: string | undefined): Promise<boolean> {
    const { cost, salt, hash } = parse(stored ?? (await this.#nobody));
    const derived = await this.#derive(password, salt, cost);
    const same = hash.length === derived.length && timingSafeEqual(hash, derived);
    return same && stored !== undefined;
  }

  /** Whether the hash was made at another cost than those made now. */
  isOutdated(stored: string): boolean {
    const { n, r, p } = parse(stored).cost;
    return n !== this.#cost.n || r !== this.#cost.r || p !== this.#cost.p;
  }

  async #derive(password: string, salt: Buffer, cost: Cost): Promise<Buffer> {
    if (this.#running >= atATime) {
      if (this.#waiting.length >= maxWaiting) {
        throw new OcelliError("rate_limited", "Too many are logging in at once. Try again in a moment.", {
          details: { retry_after_ms: 2000 },
        });
      }
      await new Promise<void>((turn) => this.#waiting.push(turn));
    }
    this.#running++;
    try {
      return await derive(normalized(password), salt, cost);
    } finally {
      this.#running--;
      this.#waiting.shift()?.();
    }
  }
}

function derive(password: string, salt: Buffer, { n, r, p }: Cost): Promise<Buffer> {
  const options = { N: n, r, p, maxmem: 256 * n * r };
  return new Promise((resolve, reject) => {
    scrypt(password, salt, hashBytes, options, (error, key) => (error ? reject(error) : resolve(key)));
  });
}

/** Keyboards write the same letter in more than one way. */
function normalized(password: string): string {
  return password.normalize("NFKC");
}

function format({ n, r, p }: Cost, salt: Buffer, hash: Buffer): string {
  return ["scrypt", n, r, p, salt.toString("base64url"), hash.toString("base64url")].join("$");
}

/** @throws TypeError for what is no such hash */
function parse(stored: string): { cost: Cost; salt: Buffer; hash: Buffer } {
  const match = /^scrypt\$(\d{1,8})\$(\d{1,2})\$(\d{1,2})\$([\w-]+)\$([\w-]+)$/.exec(stored);
  if (match === null) throw new TypeError("a stored password hash is damaged");
  const [, n, r, p, salt = "", hash = ""] = match;
  return {
    cost: { n: Number(n), r: Number(r), p: Number(p) },
    salt: Buffer.from(salt, "base64url"),
    hash: Buffer.from(hash, "base64url"),
  };
}
