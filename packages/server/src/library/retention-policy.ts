/** What may be deleted to make room: the policies, their rules, and where they are kept. */
import { OcelliError } from "@ocelli/protocol";
import { z } from "zod";
import { type Database, type Migration, text } from "../store/database.ts";

/** `age`, `size` and `free` apply the one limit they name, `all` every limit given, `manual` none. */
export type RetentionType = "age" | "size" | "free" | "all" | "manual";

export interface RetentionPolicy {
  readonly type: RetentionType;
  readonly enabled: boolean;
  /** Media whose last change is longer ago are deleted. */
  readonly maxAgeDays?: number;
  /** Recordings and snapshots together, GiB. */
  readonly maxSizeGb?: number;
  /** Kept free on the disk, GiB; never less than what a recording needs to start. */
  readonly minFreeGb?: number;
}

export interface ScopedPolicy {
  /** `undefined`: for all cameras without a policy of their own. */
  readonly cameraId: string | undefined;
  readonly policy: RetentionPolicy;
}

/** The limits a policy applies; one that is off or `manual` applies none. */
export interface RetentionLimits {
  readonly maxAgeUs?: number;
  readonly maxBytes?: number;
  readonly minFreeBytes?: number;
}

export const retentionMigrations: readonly Migration[] = [
  {
    owner: "retention",
    version: 1,
    sql: "CREATE TABLE retention_policies (scope TEXT PRIMARY KEY, policy TEXT NOT NULL) STRICT",
  },
];

const dayUs = 86_400_000_000;
const gibibyte = 2 ** 30;
/** So far above the level `low` that the guard, with its hysteresis, is content again. */
const aboveLow = 1.15;

const policySchema = z.object({
  type: z.enum(["age", "size", "free", "all", "manual"]),
  enabled: z.boolean(),
  maxAgeDays: z.number().positive().exactOptional(),
  maxSizeGb: z.number().positive().exactOptional(),
  minFreeGb: z.number().positive().exactOptional(),
});

/** @param lowBytes free space below which no recording starts */
export function limitsOf(policy: RetentionPolicy | undefined, lowBytes: number): RetentionLimits {
  if (policy === undefined || !policy.enabled || policy.type === "manual") return {};
  const { type, maxAgeDays, maxSizeGb, minFreeGb } = policy;
  const applies = (limit: RetentionType): boolean => type === limit || type === "all";
  const keepsFree = type === "free" || (type === "all" && minFreeGb !== undefined);
  return {
    ...(applies("age") && maxAgeDays !== undefined && { maxAgeUs: maxAgeDays * dayUs }),
    ...(applies("size") && maxSizeGb !== undefined && { maxBytes: maxSizeGb * gibibyte }),
    ...(keepsFree && { minFreeBytes: Math.max((minFreeGb ?? 0) * gibibyte, lowBytes * aboveLow) }),
  };
}

/** @throws OcelliError `invalid_params` for a policy that lacks what its type needs */
export function checkPolicy({ cameraId, policy }: ScopedPolicy): void {
  const { type, maxAgeDays, maxSizeGb, minFreeGb } = policy;
  const wrong = (param: string, message: string): OcelliError =>
    new OcelliError("invalid_params", message, { details: { param } });
  if (type === "age" && maxAgeDays === undefined) {
    throw wrong("max_age_days", "A policy by age needs max_age_days.");
  }
  if (type === "size" && maxSizeGb === undefined) {
    throw wrong("max_size_gb", "A policy by size needs max_size_gb.");
  }
  if (type === "all" && maxAgeDays === undefined && maxSizeGb === undefined && minFreeGb === undefined) {
    throw wrong("policy_type", "Give at least one of max_age_days, max_size_gb and min_free_gb.");
  }
  if (cameraId !== undefined && (type === "free" || minFreeGb !== undefined)) {
    throw wrong("device", "Free space is of the whole disk: set it in the policy for all cameras.");
  }
}

export interface RetentionStore {
  all(): ScopedPolicy[];
  put(scoped: ScopedPolicy): void;
  remove(cameraId: string): void;
}

/** Scope of the policy for all cameras; no camera is called so. */
const everyCamera = "*";

export function retentionStore(database: Database): RetentionStore {
  const all = database.query("SELECT scope, policy FROM retention_policies ORDER BY scope", (row) => ({
    cameraId: text(row, "scope") === everyCamera ? undefined : text(row, "scope"),
    policy: policySchema.parse(JSON.parse(text(row, "policy"))),
  }));
  const put = database.command("INSERT OR REPLACE INTO retention_policies (scope, policy) VALUES (?, ?)");
  const remove = database.command("DELETE FROM retention_policies WHERE scope = ?");
  return {
    all: () => all.all(),
    put: ({ cameraId, policy }) => void put.run(cameraId ?? everyCamera, JSON.stringify(policy)),
    remove: (cameraId) => void remove.run(cameraId),
  };
}
