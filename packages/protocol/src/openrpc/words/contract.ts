import type { Condition, MethodName, ParamsInput, ResultOf } from "../../camera-service/index.ts";

export interface MethodWords<M extends MethodName> {
  /** A sentence or two. */
  readonly summary: string;
  /** One for each parameter. Empty where another one's words hold for it too. */
  readonly params?: { readonly [P in keyof ParamsInput<M>]?: string };
  /** Parameters of a call that makes sense: at least the required ones. */
  readonly example?: ParamsInput<M>;
  /** Fields of the answer to it, where what is made from the schema would mislead. */
  readonly exampleAnswer?: ResultOf<M> | Partial<ResultOf<M>>;
  /** Stable codes beyond those that follow from the schema (see `conditionsOf` in document.ts). */
  readonly errors?: readonly Condition[];
}

/** By method; of one group of them. */
export type Words = { readonly [M in MethodName]?: MethodWords<M> };
