import { chmodSync, mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { profilePath, readProfiles, writeProfiles } from "./profile.ts";
import { headersOf, targetOf } from "./target.ts";

let env: { HOME: string } & Record<string, string>;
beforeEach(() => {
  env = { HOME: mkdtempSync(join(tmpdir(), "ocelli-profile-")) };
});
afterEach(() => rmSync(env.HOME, { recursive: true, force: true }));

const two = {
  default: "home",
  profiles: {
    home: { url: "http://home:8002", key: "home key" },
    work: { url: "https://work:8443", key: "work key" },
  },
};

describe("the profile file", () => {
  it("comes back as it was written, for its owner only", () => {
    writeProfiles(env, two);
    expect(readProfiles(env)).toEqual(two);
    expect(statSync(profilePath(env)).mode & 0o777).toBe(0o600);
    expect(profilePath({ ...env, XDG_CONFIG_HOME: "/x" })).toBe("/x/ocelli/profile.json");
    expect(readProfiles({ HOME: "/nowhere" })).toEqual({ profiles: {} });
  });

  it("is closed to others, with a warning, when they could read it", () => {
    writeProfiles(env, two);
    chmodSync(profilePath(env), 0o644);
    const warnings: string[] = [];
    readProfiles(env, (text) => warnings.push(text));
    expect(warnings).toEqual([expect.stringMatching(/could read it \(0644\)\. It is now closed to them/)]);
    expect(statSync(profilePath(env)).mode & 0o777).toBe(0o600);
    readProfiles(env, (text) => warnings.push(text));
    expect(warnings).toHaveLength(1);
  });

  it.each([
    ["not JSON", '{"profiles": {"a": {"key": "s3cret",', "it is not JSON"],
    ["nothing in it", "{}", 'it has no "profiles"'],
    ["a profile without an address", '{"profiles": {"a": {"key": "s3cret"}}}', 'profile "a" has no "url"'],
    ["a number for a key", '{"profiles": {"a": {"url": "http://a", "key": 7}}}', '"key" of "a" is no text'],
  ])("is refused without repeating its secrets: %s", (_what, text, why) => {
    mkdirSync(join(env.HOME, ".config/ocelli"), { recursive: true });
    writeFileSync(profilePath(env), text, { mode: 0o600 });
    expect(() => readProfiles(env)).toThrow(why);
    expect(() => readProfiles(env)).not.toThrow("s3cret");
  });
});

describe("a profile", () => {
  beforeEach(() => writeProfiles(env, two));

  it("is the one named, or the default one, below what is said on the line and in the environment", () => {
    expect(targetOf({}, env)).toMatchObject({ baseUrl: "http://home:8002", key: "home key" });
    expect(targetOf({ profile: "work" }, env)).toMatchObject({
      baseUrl: "https://work:8443",
      key: "work key",
    });
    expect(targetOf({}, { ...env, OCELLI_PROFILE: "work" }).key).toBe("work key");
    expect(targetOf({}, { ...env, OCELLI_API_KEY: "e" }).key).toBe("e");
    expect(
      targetOf({ profile: "work" }, { ...env, OCELLI_API_KEY: "e", OCELLI_URL: "http://e" }),
    ).toMatchObject({
      baseUrl: "https://work:8443",
      key: "work key",
    });
    expect(targetOf({ profile: "work", key: "k" }, env).key).toBe("k");
    expect(() => targetOf({ profile: "none" }, env)).toThrow(/no profile "none".*home, work/);
  });

  it("keeps its key from other hubs", () => {
    expect(targetOf({ url: "http://elsewhere:8002" }, env).key).toBeUndefined();
    expect(targetOf({ profile: "work", url: "http://work:8443" }, env).key).toBeUndefined();
    expect(targetOf({}, { ...env, OCELLI_URL: "http://elsewhere" }).key).toBeUndefined();
    expect(targetOf({ url: "ws://home:8002/ws" }, env).key).toBe("home key");
  });

  it("may hold a token, which is sent as one", () => {
    const token = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhIn0.c2ln";
    expect(headersOf(targetOf({ key: token }, env))).toEqual({ Authorization: `Bearer ${token}` });
    expect(headersOf(targetOf({}, env))).toEqual({ "X-API-Key": "home key" });
  });
});
