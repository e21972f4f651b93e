import { describe, expect, it } from "vitest";
import { z } from "zod";
import { sentencesOf } from "./issues.ts";

const schema = z.strictObject({
  limit: z.number().int().min(1).max(1000).optional(),
  rate: z.number().positive().optional(),
  device: z.string().min(1).max(10).optional(),
  format: z.enum(["mp4", "mkv"]).optional(),
  on: z.boolean().optional(),
  list: z.array(z.string()).min(2).max(3).optional(),
  when: z.union([z.number(), z.string().regex(/^now$/, "must be now")]).optional(),
  name: z.string().regex(/^a/, "must begin with a").optional(),
  key: z.string().min(32).optional(),
  inner: z.object({ size: z.string() }).optional(),
});

describe("sentences of what is wrong", () => {
  it.each([
    [{ limit: 5000 }, "limit must be at most 1000, not 5000."],
    [{ limit: 0 }, "limit must be at least 1, not 0."],
    [{ limit: 1.5 }, "limit must be a whole number, not 1.5."],
    [{ rate: 0 }, "rate must be more than 0, not 0."],
    [{ device: "" }, 'device must not be empty, not "".'],
    [{ device: "x".repeat(100) }, `device must have at most 10 characters, not "${"x".repeat(59)}….`],
    [{ device: 7 }, "device must be a text, not 7."],
    [{ format: "avi" }, 'format must be one of mp4, mkv, not "avi".'],
    [{ on: "yes" }, 'on must be true or false, not "yes".'],
    [{ list: ["a"] }, "list must have at least 2 entries."],
    [{ list: ["a", 1] }, "list.1 must be a text, not 1."],
    [{ when: "then" }, 'when must be now, not "then".'],
    [{ name: "b" }, 'name must begin with a, not "b".'],
    [{ key: "hunter2" }, "key must have at least 32 characters."],
    [{ inner: {} }, "inner.size is required."],
    [{ nonsense: 1 }, "The value has no member nonsense."],
    [{ limit: 0, on: 1 }, "limit must be at least 1, not 0; on must be true or false, not 1."],
    ["text", 'The value must be an object, not "text".'],
  ])("%j: %s", (value, sentence) => {
    const { error } = schema.safeParse(value);
    expect(error && sentencesOf(error, value)).toBe(sentence);
  });
});
