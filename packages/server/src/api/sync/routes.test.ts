import pino from "pino";
import { expect, it } from "vitest";
import type { SyncReport } from "../../sync/contract.ts";
import { createHttpApp } from "../http-app.ts";
import { registerSyncRoutes } from "./routes.ts";

const report: SyncReport = {
  session: {
    ...{ id: "s", groupId: "g", name: "<script>", startAtUs: 1e15, state: "completed", createdAtUs: 1e15 },
    clock: { synchronised: false, source: "none", offsetUs: 0, uncertaintyUs: undefined },
    members: [],
  },
  ...{ members: [], skewMs: undefined, toleranceMs: 33, verdict: "not_measured", findings: [] },
  ...{ common: undefined, madeAtUs: 1e15 },
};

function get(path: string, identity?: { readonly cameras?: ReadonlySet<string> }) {
  const app = createHttpApp({ log: pino({ level: "silent" }) });
  const authorize = async () =>
    identity === undefined ? undefined : { role: "viewer" as const, ...identity };
  const sessionFiles = { report: async () => report };
  registerSyncRoutes({ app, authorize, sync: { session: () => report.session }, sessionFiles });
  return app.inject(`/api/sync/sessions/s/${path}`);
}

it("gives a page in which nothing runs, whatever stands in it", async () => {
  const { headers, body } = await get("report.html", {});
  expect(headers["content-security-policy"]).toContain("default-src 'none'");
  expect(headers["content-security-policy"]).not.toContain("script-src");
  expect(headers).toMatchObject({ "x-content-type-options": "nosniff", "referrer-policy": "no-referrer" });
  expect(body).toContain("&lt;script");
});

it.each(["report.html", "report.json", "metadata.json"])(
  "gives %s to those who see all cameras",
  async (path) => {
    expect((await get(path)).statusCode).toBe(401);
    expect((await get(path, { cameras: new Set(["camera0"]) })).statusCode).toBe(403);
    expect((await get(path, {})).headers).toMatchObject({ "x-content-type-options": "nosniff" });
  },
);
