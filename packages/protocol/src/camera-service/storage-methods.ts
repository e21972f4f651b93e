/** Room for media: how much there is, and what is deleted to keep it. */
import { z } from "zod";
import { method } from "./method.ts";
import { deviceName, positiveNumber } from "./values.ts";

const count = z.number().int().min(0);
const percent = z.number().min(0).max(100);

export const retentionTypes = ["age", "size", "free", "all", "manual"] as const;
export type RetentionType = (typeof retentionTypes)[number];

/** Everything measured when asked. Bytes, and percent of the whole disk. */
export const storageInfoSchema = z.looseObject({
  total_space: count,
  used_space: count,
  available_space: count,
  usage_percentage: percent,
  /** The same figure under its older name. */
  used_percent: percent,
  /** Files being written included. */
  recordings_size: count,
  snapshots_size: count,
  /** Used part from which no recording starts. */
  warn_threshold: percent,
  /** Used part from which running recordings end. */
  block_threshold: percent,
  low_space_warning: z.boolean(),
  critical_space_warning: z.boolean(),
});

const policy = {
  policy_type: z.enum(retentionTypes),
  enabled: z.boolean(),
  max_age_days: z.number().optional(),
  max_size_gb: z.number().optional(),
  min_free_gb: z.number().optional(),
};

export const retentionPolicySchema = z.looseObject({
  success: z.literal(true),
  ...policy,
  device: z.string().optional(),
  message: z.string(),
});

export const retentionPoliciesSchema = z.looseObject({
  /** `device` is absent in the policy for all cameras. */
  policies: z.array(z.looseObject({ ...policy, device: z.string().optional() })),
  total: count,
});

export const cleanupSchema = z.looseObject({
  cleanup_executed: z.literal(true),
  files_deleted: count,
  /** Bytes. */
  space_freed: count,
  recordings_removed: count,
  snapshots_removed: count,
  /** `partial`: more is to be deleted, and the hub goes on with it. */
  status: z.enum(["completed", "partial"]),
  message: z.string(),
});

export const storageMethods = {
  get_storage_info: method("admin", {}, storageInfoSchema),
  /** Kept for good. Nothing is ever deleted without an enabled policy that is not `manual`. */
  set_retention_policy: method(
    "admin",
    {
      /** `age`, `size` and `free` apply the one limit they name, `all` every limit given, `manual` none. */
      policy_type: z.enum(retentionTypes),
      enabled: z.boolean(),
      /** Files older than this are deleted. Needed for `age`. */
      max_age_days: positiveNumber(36_500).optional(),
      /** GiB of recordings and snapshots together. Needed for `size`. */
      max_size_gb: positiveNumber(1_000_000).optional(),
      /** Extension: GiB kept free on the disk, never less than what recordings need to start. For `free`. */
      min_free_gb: positiveNumber(1_000_000).optional(),
      /** Extension: for this camera alone, which the policy for all cameras then leaves alone. Not with `free`. */
      device: deviceName.optional(),
    },
    retentionPolicySchema,
  ),
  /** Extension. */
  get_retention_policies: method("admin", {}, retentionPoliciesSchema),
  /** Applies the policies now. */
  cleanup_old_files: method("admin", {}, cleanupSchema),
} as const;
