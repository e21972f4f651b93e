import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { makeSelfSigned } from "../../../../test/harness/certificates.ts";
import { FakeClock } from "../clock/fake-clock.ts";
import { configSchema } from "../config/schema.ts";
import { checkCertificate } from "./certificate.ts";

let folder: string;
let files: { certFile: string; keyFile: string };
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "ocelli-doctor-tls-"));
  files = makeSelfSigned(folder, "hub", { days: 100 });
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const examine = (tls: object, inDays = 0) => {
  const clock = new FakeClock({ wallUs: Date.now() * 1000 + inDays * 86_400e6 });
  return checkCertificate({ config: configSchema.parse({ tls }), clock });
};

it("says for how long the certificate is good", () => {
  expect(examine(files)).toMatchObject([{ status: "ok", details: { subject: "CN=hub", days: 99 } }]);
  expect(examine(files, 90)).toMatchObject([
    { status: "warning", message: expect.stringContaining("expires in 9 days") },
  ]);
  expect(examine(files, 101)).toMatchObject([
    { status: "problem", message: expect.stringContaining("has expired") },
  ]);
});

it("names files that cannot be used, and says nothing where none are set", () => {
  expect(examine({ ...files, keyFile: files.certFile })).toMatchObject([
    { status: "problem", message: expect.stringContaining("hub.crt (tls.keyFile) is no PEM private key") },
  ]);
  expect(examine({})).toEqual([]);
});
