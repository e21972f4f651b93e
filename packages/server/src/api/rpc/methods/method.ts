/** What a method is to the dispatcher. */
import type { Dialect, MethodName, ParamsOf, ResultOf } from "@ocelli/protocol/camera-service";
import type { Identity, Role } from "../../../auth/identity.ts";
import type { Lane } from "../lanes.ts";
import type { RequestId } from "../message.ts";
import type { RpcServices } from "../services.ts";
import type { Session } from "../session.ts";

/** One call, past all checks. */
export interface Call {
  readonly session: Session;
  /** What the connection speaks now. */
  readonly dialect: Dialect;
  /** The caller's role; `undefined` only in public methods. */
  readonly role: Role | undefined;
  /** Who calls; may be `undefined` in public methods only. */
  readonly identity: Identity | undefined;
  readonly requestId: RequestId | undefined;
  /** Aborted when the connection ends. */
  readonly signal: AbortSignal;
  /** Sends a notification to this connection only. */
  readonly notify: (method: string, params: unknown) => void;
  /** Runs `work` once the answer is out. */
  readonly afterAnswer: (work: () => void) => void;
  /** Keeps recording notifications of a camera back until the answer is out. */
  readonly holdRecording: (cameraId: string) => void;
}

export interface Implementation<P, R> {
  /**
   * Calls in the same lane keep their order; without a lane a call overtakes all others. Runs before `run`, and
   * may refuse.
   */
  readonly lane?: (params: P, services: RpcServices) => Lane | undefined;
  readonly run: (params: P, call: Call, services: RpcServices) => R | Promise<R>;
}

export type MethodImplementation<M extends MethodName> = Implementation<ParamsOf<M>, ResultOf<M>>;

export type MethodTable = { readonly [M in MethodName]: MethodImplementation<M> };
