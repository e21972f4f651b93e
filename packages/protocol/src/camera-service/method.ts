/** What a method of the protocol is: who may call it, what it takes, what it answers. */
import { z } from "zod";
import type { Access } from "./roles.ts";

export interface Method<
  P extends z.ZodObject = z.ZodObject,
  R extends z.ZodType = z.ZodType,
  A extends Access = Access,
> {
  readonly access: A;
  readonly params: P;
  readonly result: R;
}

/** The order of `params` is the order of positional parameters. */
export const method = <P extends z.ZodRawShape, R extends z.ZodType, A extends Access>(
  access: A,
  params: P,
  result: R,
): Method<z.ZodObject<P>, R, A> => ({ access, params: z.object(params), result });
