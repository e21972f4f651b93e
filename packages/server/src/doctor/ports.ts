/** Are the addresses of the configuration free, or the hub's own already? */
import { get } from "node:https";
import { createServer } from "node:net";
import { parseListenAddress } from "../api/listener.ts";
import { findPortHolder } from "../api/port-holder.ts";
import { type CheckContext, type Finding, ok, problem, warning } from "./finding.ts";

/** @param explicit the user named the addresses, so that a taken one keeps the hub from starting */
export async function checkPorts(context: CheckContext, explicit: boolean): Promise<Finding[]> {
  const findings = await Promise.all(context.config.listen.map((text) => checkPort(text, context)));
  const usable = findings.some((finding) => finding.status === "ok");
  // The rule of the hub itself: of its default addresses one is enough.
  return findings.map((finding) =>
    finding.status === "problem" && usable && !explicit ? { ...finding, status: "warning" } : finding,
  );
}

async function checkPort(text: string, { config, hubPid, clock, signal }: CheckContext): Promise<Finding> {
  const { host, port } = parseListenAddress(text);
  const check = `port ${port}`;
  const details = { host, port };
  const another = "another address with OCELLI_LISTEN or --listen.";
  const elsewhere = `Choose ${another}`;
  const failure = await tryToListen(host, port);
  switch (failure) {
    case undefined:
      return hubPid === undefined
        ? ok(check, `${text} is free`, details)
        : warning(
            check,
            `The running hub (process ${hubPid}) does not serve ${text}.`,
            "It may have been started with other settings: run the doctor with the same OCELLI_CONFIG and environment, or restart the hub.",
            details,
          );
    case "EADDRINUSE":
      break;
    case "EACCES":
      return problem(
        check,
        `This user may not listen on ${text}.`,
        `Ports below 1024 need root; put a reverse proxy in front, or choose a higher one. ${elsewhere}`,
        details,
      );
    case "EADDRNOTAVAIL":
      return problem(check, `This machine has no address ${host}.`, elsewhere, details);
    default:
      return problem(check, `${text} cannot be listened on: ${failure}.`, elsewhere, details);
  }
  const holder = await findPortHolder(port);
  if (holder !== undefined && holder.pid === hubPid) {
    return ok(check, `${text} is served by the running hub (process ${holder.pid})`, { ...details, holder });
  }
  // Processes of other users cannot be inspected, but a hub can be asked.
  const stop = AbortSignal.any([signal, timeLimit(clock, 2000)]);
  if (holder === undefined && (await isHub(host, port, config.tls.certFile !== undefined, stop))) {
    return ok(check, `${text} is served by a hub`, details);
  }
  const by = holder === undefined ? "another process" : `process ${holder.pid} (${holder.command})`;
  return problem(
    check,
    `${text} is in use by ${by}.`,
    `Stop it${holder === undefined ? ` (sudo ss -ltnp 'sport = :${port}' tells which)` : ""}, or choose ${another}`,
    { ...details, ...(holder && { holder }) },
  );
}

function timeLimit(clock: CheckContext["clock"], ms: number): AbortSignal {
  const controller = new AbortController();
  clock.after(ms, () => controller.abort(new Error("timeout")));
  return controller.signal;
}

/** The error's code, or `undefined` when the address was free; it is free again when this resolves. */
function tryToListen(host: string, port: number): Promise<string | undefined> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
    server.listen({ host, port, exclusive: true }, () => server.close(() => resolve(undefined)));
  });
}

async function ask(address: string, signal: AbortSignal): Promise<string> {
  return (await fetch(`http://${address}`, { signal })).text();
}

/** Nothing is sent that needs a verified peer: the question is only who is there. */
function askSecurely(address: string, signal: AbortSignal): Promise<string> {
  return new Promise((resolve, reject) => {
    const request = get(
      `https://${address}`,
      { signal, rejectUnauthorized: false, agent: false },
      (answer) => {
        let body = "";
        answer.setEncoding("utf8").on("data", (text) => {
          body += text;
          if (body.length > 10_000) request.destroy(new Error("too long an answer"));
        });
        answer.on("end", () => resolve(body)).on("error", reject);
      },
    );
    request.on("error", reject);
  });
}

async function isHub(host: string, port: number, secure: boolean, signal: AbortSignal): Promise<boolean> {
  const name =
    host === "0.0.0.0" ? "127.0.0.1" : host === "::" ? "[::1]" : host.includes(":") ? `[${host}]` : host;
  try {
    const body: unknown = JSON.parse(
      await (secure ? askSecurely : ask)(`${name}:${port}/health/live`, signal),
    );
    return typeof body === "object" && body !== null && "alive" in body && body.alive === true;
  } catch {
    return false;
  }
}
