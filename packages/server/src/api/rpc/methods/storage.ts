/** Room for media and the retention policies. */
import type { RetentionPolicy, ScopedPolicy } from "../../../library/retention-policy.ts";
import type { MethodImplementation, MethodTable } from "./method.ts";

const getStorageInfo: MethodImplementation<"get_storage_info"> = {
  async run(_params, _call, { storageReport }) {
    const figures = await storageReport.measure();
    const { totalBytes, freeBytes, lowBytes, criticalBytes, mediaBytes } = figures;
    const usedPart = (free: number): number =>
      totalBytes === 0 ? 0 : Math.min(100, Math.max(0, Math.round((1 - free / totalBytes) * 10_000) / 100));
    return {
      total_space: totalBytes,
      used_space: totalBytes - freeBytes,
      available_space: freeBytes,
      usage_percentage: usedPart(freeBytes),
      used_percent: usedPart(freeBytes),
      recordings_size: mediaBytes.recording,
      snapshots_size: mediaBytes.snapshot,
      warn_threshold: usedPart(lowBytes),
      block_threshold: usedPart(criticalBytes),
      low_space_warning: figures.isLow,
      critical_space_warning: figures.isCritical,
    };
  },
};

const setRetentionPolicy: MethodImplementation<"set_retention_policy"> = {
  lane: () => "retention",
  run(params, _call, { retention, cameras }) {
    const { policy_type: type, enabled, max_age_days, max_size_gb, min_free_gb, device } = params;
    const policy: RetentionPolicy = {
      type,
      enabled,
      ...(max_age_days === undefined ? {} : { maxAgeDays: max_age_days }),
      ...(max_size_gb === undefined ? {} : { maxSizeGb: max_size_gb }),
      ...(min_free_gb === undefined ? {} : { minFreeGb: min_free_gb }),
    };
    const scoped = { cameraId: device === undefined ? undefined : cameras.find(device).id, policy };
    retention.set(scoped);
    return {
      success: true,
      ...policyObject(scoped),
      ...(device === undefined ? {} : { device }),
      message: "Retention policy updated successfully",
    };
  },
};

const getRetentionPolicies: MethodImplementation<"get_retention_policies"> = {
  run(_params, _call, { retention }) {
    const policies = retention.policies().map(policyObject);
    return { policies, total: policies.length };
  },
};

const cleanupOldFiles: MethodImplementation<"cleanup_old_files"> = {
  lane: () => "retention",
  async run(_params, _call, { retention }) {
    const { recordings, snapshots, bytes, kept, partial } = await retention.cleanup();
    const files = recordings + snapshots;
    const isOn = retention.policies().some(({ policy }) => policy.enabled && policy.type !== "manual");
    return {
      cleanup_executed: true,
      files_deleted: files,
      space_freed: bytes,
      recordings_removed: recordings,
      snapshots_removed: snapshots,
      status: partial ? "partial" : "completed",
      message: isOn
        ? `Cleanup completed: ${files} files deleted${kept === 0 ? "" : `, ${kept} kept until they have been uploaded`}`
        : "No retention policy that deletes is enabled: nothing was deleted",
    };
  },
};

function policyObject({ cameraId, policy }: ScopedPolicy) {
  return {
    policy_type: policy.type,
    enabled: policy.enabled,
    ...(policy.maxAgeDays === undefined ? {} : { max_age_days: policy.maxAgeDays }),
    ...(policy.maxSizeGb === undefined ? {} : { max_size_gb: policy.maxSizeGb }),
    ...(policy.minFreeGb === undefined ? {} : { min_free_gb: policy.minFreeGb }),
    ...(cameraId === undefined ? {} : { device: cameraId }),
  };
}

export const storageImplementations = {
  get_storage_info: getStorageInfo,
  set_retention_policy: setRetentionPolicy,
  get_retention_policies: getRetentionPolicies,
  cleanup_old_files: cleanupOldFiles,
} satisfies Partial<MethodTable>;
