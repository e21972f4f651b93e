import { defineConfig } from "vitest/config";

export default defineConfig({
  // Workspace packages are tested from source; only worker threads and spawned hubs use the build.
  ssr: { resolve: { conditions: ["source", "node", "import", "module", "default"] } },
  test: {
    include: ["packages/*/src/**/*.test.ts", "test/**/*.test.ts"],
    exclude: ["**/node_modules/**", "**/dist/**"],
    // Bounds for what never comes, not pass marks: far beyond what a busy machine takes.
    testTimeout: 60_000,
    hookTimeout: 90_000,
    expect: { poll: { timeout: 20_000 } },
    maxWorkers: 2,
  },
});
