import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";

/** Certificates for tests, made by openssl in a folder of the test. */
export interface MadeCertificate {
  readonly certFile: string;
  readonly keyFile: string;
}

const openssl = (...args: string[]): void => void execFileSync("openssl", args, { stdio: "pipe" });

/** One that vouches for itself. */
export function makeSelfSigned(
  folder: string,
  name: string,
  { subject = name, days = 2, alsoFor = [] }: { subject?: string; days?: number; alsoFor?: string[] } = {},
): MadeCertificate {
  const made = { certFile: join(folder, `${name}.crt`), keyFile: join(folder, `${name}.key`) };
  openssl(
    ...["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"],
    ...["-days", String(days), "-subj", `/CN=${subject}`, "-keyout", made.keyFile, "-out", made.certFile],
    ...(alsoFor.length > 0 ? ["-addext", `subjectAltName=${alsoFor.join(",")}`] : []),
  );
  return made;
}

/** An authority of the test's own: what clients are told to trust. */
export function makeAuthority(folder: string, name = "authority"): MadeCertificate {
  return makeSelfSigned(folder, name, { subject: `Ocelli test ${name}` });
}

/** A certificate for 127.0.0.1 and localhost, signed by `authority`; files of that name are replaced. */
export function makeCertificate(
  folder: string,
  name: string,
  authority: MadeCertificate,
  subject = name,
): MadeCertificate {
  const made = { certFile: join(folder, `${name}.crt`), keyFile: join(folder, `${name}.key`) };
  const request = join(folder, `${name}.csr`);
  const extensions = join(folder, `${name}.ext`);
  execFileSync("sh", ["-c", 'echo "subjectAltName=IP:127.0.0.1,DNS:localhost" > "$0"', extensions]);
  if (!existsSync(made.keyFile))
    openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-out", made.keyFile);
  openssl("req", "-new", "-key", made.keyFile, "-subj", `/CN=${subject}`, "-out", request);
  openssl(
    ...[
      "x509",
      "-req",
      "-in",
      request,
      "-CA",
      authority.certFile,
      "-CAkey",
      authority.keyFile,
      "-CAcreateserial",
    ],
    ...["-days", "2", "-extfile", extensions, "-out", made.certFile],
  );
  return made;
}
