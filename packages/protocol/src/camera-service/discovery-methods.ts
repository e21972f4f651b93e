/** The API about itself. */
import { z } from "zod";
import { method } from "./method.ts";

const described = z.looseObject({
  name: z.string(),
  summary: z.string(),
  params: z.array(z.looseObject({ name: z.string() })).readonly(),
  result: z.looseObject({ name: z.string() }),
});

export const openRpcSchema = z.looseObject({
  openrpc: z.string(),
  info: z.looseObject({ title: z.string(), version: z.string() }),
  methods: z.array(described).readonly(),
});

export const discoveryMethods = {
  /** The name is that of the OpenRPC specification. Public: the document is the same for everybody and holds no secret. */
  "rpc.discover": method("public", {}, openRpcSchema),
} as const;
