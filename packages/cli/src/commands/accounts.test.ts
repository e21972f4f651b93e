import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { adminKey, type RunningHub, startHub, virtualCameras } from "../../../../test/harness/hub.ts";
import { profilePath } from "../profile.ts";
import { type Outcome, start } from "../testing/run.ts";

// Keys, users, tokens and profiles against a running hub, and keys without one.

let hub: RunningHub;
let folder: string;
const settings = virtualCameras({ count: 2, size: "320x240" });
const password = "correct horse battery";

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "ocelli-accounts-"));
  hub = await startHub({ env: settings });
});
afterAll(async () => {
  await hub?.stop();
  rmSync(folder, { recursive: true, force: true });
});

type Given = Parameters<typeof start>[2];
const ocelli = (args: string[], env: Record<string, string> = {}, given: Given = {}): Promise<Outcome> =>
  start(args, { HOME: folder, OCELLI_URL: hub.url, OCELLI_API_KEY: adminKey, ...env }, given).done;
const piped = (text: string): Given => ({ input: { readAll: async () => text } });
/** Somebody who answers one after the other, and what was asked. */
function typing(...answers: string[]): Given & { asked: string[] } {
  const asked: string[] = [];
  return {
    asked,
    input: {
      isTerminal: true,
      ask: async (prompt, { hidden } = {}) => {
        asked.push(hidden ? `${prompt}(hidden)` : prompt);
        return answers.shift() ?? "";
      },
    },
  };
}

async function json(...args: string[]) {
  const { code, out, err } = await ocelli(["--json", ...args]);
  expect([code, err], args.join(" ")).toEqual([0, ""]);
  return JSON.parse(out);
}

describe("ocelli keys, with a hub", () => {
  it("makes, lists, replaces and revokes keys that may be limited to a camera", async () => {
    const made = await json(
      "keys",
      "create",
      "door",
      "--role",
      "operator",
      "--camera",
      "camera100",
      "--expires",
      "30d",
    );
    expect(made).toMatchObject({ role: "operator", cameras: ["camera100"] });
    expect(Date.parse(made.expires_at) - Date.parse(made.created_at)).toBeCloseTo(30 * 86_400_000, -4);
    expect((await ocelli(["cameras"], { OCELLI_API_KEY: made.api_key })).out).not.toContain("camera101");
    const plain = await ocelli(["keys"]);
    expect(plain.out).toMatch(/^ID +NAME +ROLE +CAMERAS +CREATED +EXPIRES +LAST USED +STATE\n/);
    expect(plain.out).toMatch(new RegExp(`^${made.key_id} +door +operator +camera100 .* active$`, "m"));
    expect(plain.out).not.toContain(made.api_key);

    const { out, err } = await ocelli(["keys", "rotate", made.key_id]);
    expect(err).toContain(`takes the place of ${made.key_id}, which is void`);
    expect((await ocelli(["cameras"], { OCELLI_API_KEY: made.api_key })).code).toBe(4);
    expect((await ocelli(["cameras"], { OCELLI_API_KEY: out.trim() })).code).toBe(0);
    const { keys } = await json("keys");
    const next = keys.find(
      ({ name, is_active }: { name: string; is_active: boolean }) => /^door/.test(name) && is_active,
    );
    expect((await ocelli(["keys", "revoke", next.key_id])).out).toBe(`${next.key_id} revoked\n`);
    expect((await ocelli(["cameras"], { OCELLI_API_KEY: out.trim() })).code).toBe(4);
    expect((await ocelli(["keys", "create", "x", "--expires", "soon"])).code).toBe(2);
  });
});

describe("ocelli users, token and login", () => {
  it("lets people in with a password, as what they are, until they are removed", async () => {
    const create = ["users", "create", "anna", "--role", "operator", "--password-stdin"];
    expect((await ocelli(create, {}, piped(`${password}\n`))).out).toBe("anna (operator) may log in now.\n");
    const noKey = { OCELLI_API_KEY: "", OCELLI_DATA_DIR: "/nowhere" };
    const login = await ocelli(["login", "--user", "anna", "--password-stdin"], noKey, piped(password));
    expect(login).toMatchObject({ code: 0, err: "" });
    expect(login.out).toMatch(
      /^Logged in at http:\S+ as anna \(operator\), until \S+ \S+\. Kept in .* as default\.\n$/,
    );
    expect(statSync(profilePath({ HOME: folder })).mode & 0o777).toBe(0o600);
    expect(readFileSync(profilePath({ HOME: folder }), "utf8")).not.toContain(password);

    const kept = { ...noKey, OCELLI_URL: "" };
    expect((await ocelli(["snapshot", "camera100"], kept)).code).toBe(0);
    expect((await ocelli(["keys"], kept)).code).toBe(4);
    expect((await ocelli(["profiles"], kept)).out).toMatch(/\ndefault +http:\S+ +anna +default\n$/);
    expect((await ocelli(["users"])).out).toMatch(/\nanna +operator +all cameras .* enabled\n/);
    expect((await ocelli(["users", "update", "anna", "--disable"])).out).toBe(
      "anna: operator, all cameras, disabled\n",
    );
    expect((await ocelli(["cameras"], kept)).code).toBe(4);
    expect((await ocelli(["users", "delete", "anna"])).code).toBe(2);
    expect((await ocelli(["users", "delete", "anna"], {}, typing("n"))).err).toBe(
      "ocelli: Nothing was changed.\n",
    );
    expect((await ocelli(["users", "delete", "anna", "--yes"])).out).toBe("anna deleted\n");
    expect((await ocelli(["logout"], kept)).out).toBe("Profile default removed.\n");
    expect((await ocelli(["profiles"], kept)).out).toContain("No profiles.");
  });

  it("asks for passwords without showing them, and twice for new ones", async () => {
    const slip = typing(password, `${password}s`);
    expect((await ocelli(["users", "create", "bert"], {}, slip)).err).toContain("The two passwords differ.");
    const right = typing(password, password);
    expect((await ocelli(["users", "create", "bert"], {}, right)).code).toBe(0);
    expect(right.asked).toEqual(["Password: (hidden)", "Once more: (hidden)"]);
    const login = typing("bert", password);
    expect((await ocelli(["login", "--profile", "b"], {}, login)).code).toBe(0);
    expect(login.asked).toEqual(["User: ", "Password: (hidden)"]);
    expect((await ocelli(["login", "--profile", "b"], {}, typing("bert", "wrong password"))).code).toBe(4);
    expect((await ocelli(["login", "--user", "bert"])).err).toContain("--password-stdin");
    expect(
      (await ocelli(["users", "password", "bert"], {}, typing("another password", "another password"))).code,
    ).toBe(0);
    expect((await ocelli(["--profile", "b", "cameras"])).code).toBe(4);
  });

  it("makes tokens and shows what they say", async () => {
    const { token } = await json("token", "create", "--ttl", "5m", "--camera", "camera101");
    expect((await ocelli(["cameras"], { OCELLI_API_KEY: token })).out).toMatch(/\ncamera101 [^\n]*\n$/);
    const { out } = await ocelli(["token", "inspect"], {}, piped(`${token}\n`));
    expect(out).toMatch(/^role +viewer$/m);
    expect(out).toMatch(/It expires in [45] min\. Whether its signature is right only the hub can tell\.\n$/);
    const { err, code } = await ocelli(["token", "inspect", adminKey]);
    expect([code, err]).toEqual([2, expect.not.stringContaining(adminKey)]);
  });

  it("keeps a key only when the hub takes it", async () => {
    expect((await ocelli(["login", "--key", `${adminKey}x`, "--profile", "k"])).code).toBe(4);
    expect((await ocelli(["--profile", "k", "cameras"])).code).toBe(2);
    expect((await ocelli(["login", "--key", adminKey, "--profile", "k"])).code).toBe(0);
    expect((await ocelli(["--profile", "k", "keys"], { OCELLI_API_KEY: "", OCELLI_URL: "" })).code).toBe(0);
  });
});

describe("ocelli keys on the data folder of a hub", () => {
  const here = () => ({
    OCELLI_URL: "",
    OCELLI_API_KEY: "",
    XDG_CONFIG_HOME: "/nowhere",
    OCELLI_DATA_DIR: hub.dataDir,
  });

  it("asks the hub while it runs", async () => {
    const { err } = await ocelli(["keys", "--port", "1"], here());
    expect(err).toContain("Cannot connect");
    expect((await ocelli(["keys", "--offline"], here())).err).toMatch(
      /A hub runs on .*: ask it \(without --offline\)/,
    );
    // A hub of whoever runs this test may be at the default address; it does not let us in.
    expect((await ocelli(["keys", "--data-dir", folder], here())).err).toMatch(
      /No hub has ever kept its data in|Authentication required/,
    );
    const asked = await ocelli(["keys", "--data-dir", hub.dataDir], here());
    expect(asked.err).toContain(`The hub of ${hub.dataDir} runs: asking it.`);
  });

  it("works without a hub and without a key, and gives a lost admin key back", async () => {
    const { dataDir } = hub;
    await hub.end();
    const keyFile = join(dataDir, "admin-key");
    writeFileSync(keyFile, "the lost one\n", { mode: 0o600 });
    const list = await ocelli(["keys"], here());
    expect(list).toMatchObject({ code: 0, err: `No hub uses ${dataDir}: working on the keys in it.\n` });
    expect(list.out).toContain("admin (configured)");
    const made = await ocelli(["keys", "create", "viewer", "--camera", "camera100"], here());
    expect((await ocelli(["keys", "create", "x", "--camera", "Door"], here())).code).toBe(2);
    expect((await ocelli(["keys", "reset"], here())).err).toContain("add --yes if that is meant");
    const reset = await ocelli(["--json", "keys", "reset", "--yes"], here());
    expect(reset.code).toBe(0);
    const { api_key, revoked } = JSON.parse(reset.out);
    expect(revoked).toBe(1);
    expect(readFileSync(keyFile, "utf8")).toBe(`${api_key}\n`);
    expect(statSync(keyFile).mode & 0o777).toBe(0o600);
    const { out } = await ocelli(["--json", "keys"], here());
    const last = JSON.parse(out).keys.find(
      ({ role, is_active }: { role: string; is_active: boolean }) => role === "admin" && is_active,
    );
    expect((await ocelli(["keys", "revoke", last.key_id], here())).err).toContain("is the last admin key");

    hub = await startHub({ dataDir, env: { ...settings, OCELLI_ADMIN_KEY: undefined } });
    try {
      expect((await ocelli(["keys"], { OCELLI_API_KEY: api_key })).code).toBe(0);
      expect((await ocelli(["keys"])).code).toBe(4);
      expect((await ocelli(["cameras"], { OCELLI_API_KEY: made.out.trim() })).out).not.toContain("camera101");
      const online = await ocelli(["--json", "keys", "reset", "--all", "--yes"], { OCELLI_API_KEY: api_key });
      expect(online.code).toBe(0);
      expect((await ocelli(["cameras"], { OCELLI_API_KEY: made.out.trim() })).code).toBe(4);
      expect((await ocelli(["cameras"], { OCELLI_API_KEY: api_key })).code).toBe(4);
      expect((await ocelli(["keys"], { OCELLI_API_KEY: JSON.parse(online.out).api_key })).code).toBe(0);
    } finally {
      await hub.end();
      expect(existsSync(dataDir)).toBe(true);
      rmSync(dataDir, { recursive: true, force: true });
    }
  });
});
