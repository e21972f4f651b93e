/** Storage figures and retention in memory, for tests of the adapter. */
import type { ScopedPolicy } from "../../../library/retention-policy.ts";
import type { RpcServices } from "../services.ts";

export function fakeManagement(): Pick<RpcServices, "storageReport" | "retention"> {
  const policies: ScopedPolicy[] = [];
  return {
    storageReport: {
      measure: async () => ({
        totalBytes: 1000,
        freeBytes: 250,
        mediaBytes: { recording: 500, snapshot: 20 },
        lowBytes: 100,
        criticalBytes: 40,
        isLow: false,
        isCritical: false,
      }),
    },
    retention: {
      policies: () => policies,
      set: (scoped) => void policies.push(scoped),
      cleanup: async () => ({ recordings: 2, snapshots: 1, bytes: 77, partial: false }),
    },
  };
}
