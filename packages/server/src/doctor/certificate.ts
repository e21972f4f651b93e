/** Can the hub use the TLS certificate of the settings, and for how long? */
import { X509Certificate } from "node:crypto";
import { messageOf } from "@ocelli/protocol";
import { readCertificate } from "../api/edge/certificate.ts";
import { type CheckContext, type Finding, ok, problem, warning } from "./finding.ts";

/** Renewals begin a month before the end; half of that without one is worth a word. */
const shortDays = 14;

/** Nothing without a certificate in the settings. */
export function checkCertificate({ config, clock }: Pick<CheckContext, "config" | "clock">): Finding[] {
  const { certFile, keyFile, caFile } = config.tls;
  if (certFile === undefined || keyFile === undefined) return [];
  const check = "TLS certificate";
  try {
    const { cert } = readCertificate({ certFile, keyFile, caFile });
    const { subject, subjectAltName, validToDate } = new X509Certificate(cert);
    const days = Math.floor((validToDate.getTime() - clock.wallUs() / 1000) / 86_400_000);
    const details = { certFile, subject, names: subjectAltName, validTo: validToDate.toISOString(), days };
    const fix = "Renew it; the hub takes up the new files by itself.";
    if (days < 0) return [problem(check, `${certFile} has expired: clients refuse it.`, fix, details)];
    if (days < shortDays) return [warning(check, `${certFile} expires in ${days} days.`, fix, details)];
    return [ok(check, `${certFile} is good for ${days} days`, details)];
  } catch (error) {
    return [
      problem(
        check,
        messageOf(error),
        "The hub does not start with it: correct tls.certFile and tls.keyFile.",
        {
          certFile,
          keyFile,
        },
      ),
    ];
  }
}
