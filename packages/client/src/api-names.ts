/** All methods of the protocol under camelCase names, made from the protocol itself so that none can be missing. */
import type { MethodName, ParamsInput, ResultOf } from "@ocelli/protocol/camera-service";
import type { RequestOptions } from "./call-options.ts";
import type { Success } from "./rpc-connection.ts";

type CamelCase<S extends string> = S extends `${infer Head}_${infer Tail}`
  ? `${Head}${Capitalize<CamelCase<Tail>>}`
  : S;

type RequiredKeys<P> = { [K in keyof P]-?: Record<never, never> extends Pick<P, K> ? never : K }[keyof P];

/** Parameters may be left out only where none is required. */
type ApiCall<M extends MethodName> = [RequiredKeys<ParamsInput<M>>] extends [never]
  ? (params?: ParamsInput<M>, options?: RequestOptions) => Promise<Success<ResultOf<M>>>
  : (params: ParamsInput<M>, options?: RequestOptions) => Promise<Success<ResultOf<M>>>;

export type CameraApi = { readonly [M in MethodName as CamelCase<M>]: ApiCall<M> };

type Call = (method: string, params?: object, options?: RequestOptions) => Promise<unknown>;

export function cameraApi(call: Call): CameraApi {
  const made = new Map<string, (params?: object, options?: RequestOptions) => Promise<unknown>>();
  const proxy: object = new Proxy(Object.create(null), {
    get: (_target, name) => {
      // A promise is recognised by `then`; this is none.
      if (typeof name !== "string" || name === "then") return undefined;
      const known = made.get(name);
      if (known !== undefined) return known;
      const method = name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
      const call1 = (params?: object, options?: RequestOptions): Promise<unknown> =>
        call(method, params, options);
      made.set(name, call1);
      return call1;
    },
  });
  return proxy as CameraApi; // each name calls the method it is made from
}
