/**
 * One request from its shape to its answer: method exists, authentication, role, parameters, order, run; every
 * failure becomes an answer. Knows no socket.
 *
 * Invariant: `dispatch` never rejects, and nothing outside the session changes before all checks are passed.
 */
import { randomBytes } from "node:crypto";
import { messageOf, OcelliError } from "@ocelli/protocol";
import {
  afterAuthenticate,
  afterDevice,
  afterMethod,
  type DialectSettings,
  isMethodName,
  isoOf,
  type MethodName,
  methods,
  namedParams,
  type ParamsOf,
  type ResultOf,
  readParams,
  roleIncludes,
  tokenIn,
} from "@ocelli/protocol/camera-service";
import { type Identity, isExpired, isVoid } from "../../auth/identity.ts";
import { failureOf, inbandResult, RpcError, wireError } from "./errors.ts";
import type { Outgoing } from "./frame.ts";
import { assertOpenTo, ServicesOf } from "./limited-services.ts";
import { isMalformed, type Member, type Request } from "./message.ts";
import { implementations } from "./methods/index.ts";
import type { Call, MethodImplementation } from "./methods/method.ts";
import type { RpcServices } from "./services.ts";
import type { Session } from "./session.ts";

export interface Answer {
  /** The response object; `undefined` for notifications. */
  readonly response: object | undefined;
  /** To be called, if it is there, once the response is handed to the socket: lets held-back notifications go. */
  readonly sent: (() => void) | undefined;
}

/** Sends a message to the connection a request came from. */
export type Send = (message: Outgoing) => void;

export class Dispatcher {
  readonly #services: RpcServices;
  readonly #servicesOf: ServicesOf;
  readonly #settings: DialectSettings;

  constructor(services: RpcServices, settings: DialectSettings) {
    this.#services = services;
    this.#servicesOf = new ServicesOf(services);
    this.#settings = settings;
  }

  async dispatch(member: Member, session: Session, send: Send): Promise<Answer> {
    const startedMonoUs = this.#services.clock.monoUs();
    let requestId: string | undefined;
    const findRequestId = (): string => (requestId ??= correlationId(member));
    const releases: (() => void)[] = [];
    let outcome: object;
    let ended: "ok" | "refused" | "fault" = "ok";
    try {
      if (isMalformed(member)) throw new RpcError(member.condition, member.reason);
      session.dialect = afterMethod(session.dialect, member.method);
      if (!isMethodName(member.method)) throw new RpcError("method_not_found", "There is no such method.");
      this.#limitRate(member.method, session);
      outcome = {
        result: await this.#run(member.method, member, session, {
          send,
          hold: (cameraId) => void releases.push(session.hold(cameraId, send)),
          afterAnswer: (work) => void releases.push(work),
        }),
      };
    } catch (error) {
      ended = failureOf(error).condition === "internal" ? "fault" : "refused";
      outcome = this.#failed(error, member, session, findRequestId());
    }
    const sent =
      releases.length === 0
        ? undefined
        : (): void => {
            for (const release of releases) release();
          };
    const nowUs = this.#services.clock.monoUs();
    const method = isMalformed(member) || !isMethodName(member.method) ? undefined : member.method;
    // An export answers when its work is done: how long that takes says nothing about the hub's answers.
    if (method !== "export_recording")
      this.#services.hub.requests.add((nowUs - startedMonoUs) / 1000, ended, method);
    const { log } = this.#services;
    if (log.isLevelEnabled("debug")) {
      const ms = Math.round((nowUs - startedMonoUs) / 10) / 100;
      log.debug({ session: session.id, requestId: findRequestId(), method, outcome: ended, ms }, "call");
    }
    if (!isMalformed(member) && member.id === undefined) return { response: undefined, sent };
    const response = { jsonrpc: "2.0", id: member.id ?? null, ...outcome };
    if (session.dialect.names !== "logical") return { response, sent };
    const metadata = {
      processing_time_ms: Math.round((nowUs - startedMonoUs) / 10) / 100,
      server_timestamp: isoOf(this.#services.clock.wallUs()),
      request_id: findRequestId(),
    };
    return { response: { ...response, metadata }, sent };
  }

  async #run<M extends MethodName>(
    method: M,
    request: Request,
    session: Session,
    outlet: {
      readonly send: Send;
      readonly hold: (cameraId: string) => void;
      readonly afterAnswer: (work: () => void) => void;
    },
  ): Promise<ResultOf<M>> {
    // Each name has the implementation of its own method (`MethodTable`); the compiler does not follow the index.
    const implementation = implementations[method] as unknown as MethodImplementation<M>;
    const perform = (
      params: ParamsOf<M>,
      services: RpcServices,
      identity: Identity | undefined,
    ): ResultOf<M> | Promise<ResultOf<M>> => {
      const call: Call = {
        session,
        dialect: session.dialect,
        role: identity?.role,
        identity,
        requestId: request.id,
        get signal() {
          return session.ended;
        },
        notify: (name, payload) => {
          if (identity !== undefined && isVoid(identity, this.#services.clock.wallUs())) return;
          outlet.send(JSON.stringify({ jsonrpc: "2.0", method: name, params: payload }));
        },
        afterAnswer: outlet.afterAnswer,
        holdRecording: outlet.hold,
      };
      return implementation.run(params, call, services);
    };

    if (method === "authenticate") {
      session.dialect = afterAuthenticate(session.dialect, request.params, this.#settings);
      return session.gate.authenticating(async () =>
        perform(readParams(method, request.params), this.#services, session.identity),
      );
    }
    const token = tokenIn(request.params);
    if (token !== undefined && methods[method].access !== "public") {
      await session.gate.authenticating(() => this.#authenticateBy(token, session));
    } else if (session.gate.opened !== undefined) {
      await session.gate.opened;
    }
    const identity = this.#authorize(method, session);
    const services = this.#servicesOf.for(identity);
    const params = readParams(method, request.params);
    this.#learnNames(method, request, session, services.cameras);
    const lane = implementation.lane?.(params, services);
    if (lane === undefined) return perform(params, services, identity);
    return session.lanes.run(lane, async () => {
      // Its turn may come long after it was allowed.
      if (identity !== undefined) this.#assertCounts(identity, session);
      return perform(params, services, identity);
    });
  }

  /** Admins must be able to put things right; guessing by `authenticate` has a guard of its own. */
  #limitRate(method: MethodName, { identity, address, allowance }: Session): void {
    const isAdmin = identity?.role === "admin" && identity.method !== "anonymous";
    if (isAdmin || method === "authenticate") return;
    this.#services.rateLimits?.admit(address, allowance);
  }

  /** A credential in an ordinary call counts when the connection has none of its own. */
  async #authenticateBy(token: string, session: Session): Promise<void> {
    const { identity } = session;
    const nowUs = this.#services.clock.wallUs();
    if (identity !== undefined && identity.method !== "anonymous" && !isVoid(identity, nowUs)) return;
    try {
      session.identity = await this.#services.auth.verify(token, {
        address: session.address,
        signal: session.ended,
      });
    } catch (error) {
      if (!(error instanceof OcelliError) || error.code !== "auth_failed") throw error;
      throw new OcelliError("auth_failed", `Authentication failed: ${error.message}`);
    }
  }

  /** @returns who calls, where the method asks for it */
  #authorize(method: MethodName, session: Session): Identity | undefined {
    const { access } = methods[method];
    if (access === "public") return undefined;
    const { identity } = session;
    if (identity === undefined) {
      throw new OcelliError(
        "auth_required",
        `Authentication required for ${method} - call authenticate or provide auth_token`,
      );
    }
    this.#assertCounts(identity, session);
    if (!roleIncludes(identity.role, access)) {
      throw new OcelliError(
        "permission_denied",
        `Insufficient permissions - ${access} role required for ${method}`,
        {
          details: { required_role: access, have_role: identity.role },
        },
      );
    }
    assertOpenTo(identity, method);
    return identity;
  }

  /** An identity that has ended is taken from the connection, which then has none. */
  #assertCounts(identity: Identity, session: Session): void {
    const nowUs = this.#services.clock.wallUs();
    if (!isVoid(identity, nowUs)) return;
    if (session.identity === identity) session.identity = undefined;
    if (isExpired(identity, nowUs))
      throw new RpcError("token_expired", "Authentication failed: token expired");
    throw new OcelliError("auth_failed", "Authentication failed: the credential was revoked");
  }

  /** A caller that says `camera0` of a camera that also has a device path speaks the logical vocabulary. */
  #learnNames(method: MethodName, request: Request, session: Session, cameras: RpcServices["cameras"]): void {
    const device = deviceIn(method, request.params);
    if (device === undefined) return;
    try {
      const hasNode = cameras.find(device).view().node !== undefined;
      session.dialect = afterDevice(session.dialect, device, hasNode);
    } catch {
      // An unknown camera teaches nothing; the method itself will say so.
    }
  }

  #failed(error: unknown, member: Member, session: Session, requestId: string): object {
    const failure = failureOf(error);
    const { log } = this.#services;
    if (isMalformed(member)) {
      return { error: wireError(session.dialect.names, failure, { requestId }) };
    }
    const { method } = member;
    if (failure.condition === "internal") {
      log.error(
        { err: error, method: method.slice(0, 100), requestId, session: session.id },
        "a request failed",
      );
    } else {
      log.debug(
        {
          // What is no name of a method may be anything, a token in the wrong place too.
          ...{ session: session.id, requestId, method: isMethodName(method) ? method : "unknown" },
          ...{ code: failure.condition, reason: messageOf(error) },
        },
        "refused",
      );
    }
    const device = isMethodName(method) ? deviceIn(method, member.params) : undefined;
    const wire = wireError(session.dialect.names, failure, {
      requestId,
      method,
      ...(device === undefined ? {} : { device }),
    });
    const result = isMethodName(method)
      ? inbandResult(session.dialect, method, failure, wire, device)
      : undefined;
    if (result !== undefined) return { result };
    const always =
      this.#settings.legacyErrors === "always" ||
      (this.#settings.legacyErrors === "auto" && session.dialect.failures === "inband");
    return always ? { error: wire, result: null } : { error: wire };
  }
}

/** The caller's spelling of the camera, if the method has one and it is a text. */
function deviceIn(method: MethodName, params: unknown): string | undefined {
  if (!Object.hasOwn(methods[method].params.shape, "device")) return undefined;
  try {
    const { device } = namedParams(method, params);
    return typeof device === "string" ? device.slice(0, 255) : undefined;
  } catch {
    return undefined;
  }
}

/** By which a message is found in the log: the request's own id where it has one. */
function correlationId(member: Member): string {
  return member.id === undefined || member.id === null
    ? randomBytes(4).toString("hex")
    : String(member.id).slice(0, 64);
}
