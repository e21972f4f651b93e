import { spawnSync } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { adminKey, type RunningHub, root, startHub, until, virtualCameras } from "../harness/hub.ts";

/** `/metrics` of a running hub, read by Prometheus' own parser for Python, against the Grafana dashboard. */

interface Sample {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number | null;
}
interface Family {
  readonly name: string;
  readonly type: string;
  readonly help: string;
  readonly samples: readonly Sample[];
}

const parser = `
import json, math, sys
from prometheus_client.parser import text_string_to_metric_families
def number(value):
    return value if math.isfinite(value) else None
print(json.dumps([
    {"name": f.name, "type": f.type, "help": f.documentation,
     "samples": [{"name": s.name, "labels": s.labels, "value": number(s.value)} for s in f.samples]}
    for f in text_string_to_metric_families(sys.stdin.read())]))
`;

function parse(text: string): Family[] {
  const { status, stdout, stderr } = spawnSync("/usr/bin/python3", ["-c", parser], {
    input: text,
    encoding: "utf8",
  });
  if (status !== 0) throw new Error(`the parser refused it:\n${stderr}`);
  return JSON.parse(stdout) as Family[];
}

interface Selector {
  readonly metric: string;
  readonly matchers: readonly { readonly label: string; readonly is: string; readonly value: string }[];
}

/** Metrics a query names, with their matchers, and the labels it groups by. */
function readQuery(query: string): { selectors: Selector[]; groups: string[] } {
  const groups = [...query.matchAll(/\b(?:by|without|on|ignoring)\s*\(([^)]*)\)/g)].flatMap(([, list = ""]) =>
    list.split(",").map((label) => label.trim()),
  );
  const rest = query.replace(/\b(?:by|without|on|ignoring)\s*\([^)]*\)/g, " ");
  const selectors = [...rest.matchAll(/([a-zA-Z_:][\w:]*)\s*(\{[^}]*\})?(?=\s*(\()?)/g)]
    .filter(([, name = "", , call]) => call === undefined && name.includes("_") && !name.startsWith("__"))
    .map(([, metric = "", braces = ""]) => ({
      metric,
      matchers: [...braces.matchAll(/(\w+)\s*(=~|!~|!=|=)\s*"([^"]*)"/g)].map(
        ([, label = "", is = "", value = ""]) => ({ label, is, value }),
      ),
    }));
  return { selectors, groups };
}

interface Dashboard {
  readonly templating: { readonly list: readonly { readonly definition?: string }[] };
  readonly panels: readonly {
    readonly title: string;
    readonly targets?: readonly { readonly expr: string; readonly legendFormat: string }[];
  }[];
}

/** What Prometheus adds to each sample by itself. */
const addedByPrometheus = ["instance", "job"];

describe("the metrics of a hub", () => {
  let hub: RunningHub;
  const receiver = createServer((_request, response) => response.writeHead(204).end());
  beforeAll(async () => {
    receiver.listen(0, "127.0.0.1");
    await once(receiver, "listening");
    const { port } = receiver.address() as AddressInfo;
    hub = await startHub({
      env: {
        ...virtualCameras({ size: "320x240", fps: 15 }),
        // Nobody listens there. The name is one that text formats have to escape.
        OCELLI_CAMERAS: '[{"url":"rtsp://127.0.0.1:9/x","name":"Door \\"A\\" \\\\ Ü","number":107}]',
        OCELLI_WEBHOOKS: JSON.stringify([
          { url: `http://127.0.0.1:${port}/hook`, secret: "a secret of some length" },
        ]),
      },
    });
  });
  afterAll(async () => {
    await hub?.stop();
    receiver.close();
  });

  const scrape = async (): Promise<Family[]> => parse(await (await hub.fetch("/metrics")).text());
  const samplesOf = (families: readonly Family[], name: string): Sample[] =>
    families.flatMap(({ samples }) => samples.filter((sample) => sample.name === name));
  const value = (families: readonly Family[], name: string, labels: Record<string, string> = {}): number => {
    const found = samplesOf(families, name).filter((sample) =>
      Object.entries(labels).every(([label, wanted]) => sample.labels[label] === wanted),
    );
    if (found.length !== 1) throw new Error(`${found.length} samples of ${name} ${JSON.stringify(labels)}`);
    return found[0]?.value ?? Number.NaN;
  };

  it("follow what happens, and agree with what the API says", async () => {
    await using rpc = await hub.rpc();
    const before = await scrape();
    expect(value(before, "ocelli_camera_frames_total", { camera: "camera100" })).toBe(0);
    expect(value(before, "ocelli_camera_info", { camera: "camera107", name: 'Door "A" \\ Ü' })).toBe(1);
    expect(samplesOf(before, "ocelli_recordings_active")).toEqual([]);

    await rpc.call("start_recording", { device: "camera100" });
    await expect(rpc.call("take_snapshot", { device: "camera107" })).rejects.toThrow();
    await expect(rpc.call("a_method_of_somebody_s_own")).rejects.toThrow();
    await hub.fetch("/health/live");
    await hub.fetch("/files/recordings/no-such-file.mp4");
    await hub.fetch(`/${"x".repeat(50)}`);
    const wrong = await fetch(`${hub.url}/files/recordings/x`, {
      headers: { "x-api-key": `wrong_${adminKey}` },
    });
    expect(wrong.status).toBe(401);
    const during = await until("a second of recording", async () => {
      const families = await scrape();
      return value(families, "ocelli_recording_frames_total", { camera: "camera100" }) > 20 && families;
    });
    expect(value(during, "ocelli_camera_status", { camera: "camera100", status: "CONNECTED" })).toBe(1);
    expect(value(during, "ocelli_camera_status", { camera: "camera107", status: "ERROR" })).toBe(1);
    expect(value(during, "ocelli_camera_capture_state", { camera: "camera100", state: "live" })).toBe(1);
    expect(value(during, "ocelli_camera_frames_per_second", { camera: "camera100" })).toBeGreaterThan(0);
    expect(value(during, "ocelli_camera_ring_bytes", { camera: "camera100" })).toBeGreaterThan(1000);
    expect(value(during, "ocelli_recordings_active", { camera: "camera100" })).toBe(1);
    expect(value(during, "ocelli_snapshots_total", { outcome: "failed" })).toBe(1);
    expect(value(during, "ocelli_auth_failures_total")).toBe(1);
    expect(value(during, "ocelli_rpc_connections")).toBe(1);
    expect(value(during, "ocelli_health_problems", { component: "camera", severity: "critical" })).toBe(1);
    const unknown = { method: "unknown", outcome: "refused" };
    expect(value(during, "ocelli_rpc_requests_total", unknown)).toBe(1);
    const snapshots = { method: "take_snapshot", outcome: "refused" };
    expect(value(during, "ocelli_rpc_requests_total", snapshots)).toBe(1);
    const http = (route: string, status: string) =>
      value(during, "ocelli_http_requests_total", { method: "GET", route, status });
    expect([http("/health/live", "200"), http("/files/recordings/*", "404"), http("none", "404")]).toEqual([
      1, 1, 1,
    ]);

    await rpc.call("stop_recording", { device: "camera100" });
    const stopped = await rpc.call<{ files: { filename: string; file_size: number }[] }>("list_recordings");
    const after = await until("the webhook to be done", async () => {
      const families = await scrape();
      return samplesOf(families, "ocelli_webhook_waiting_events")[0]?.value === 0 && families;
    });
    expect(value(after, "ocelli_recordings_ended_total", { outcome: "completed" })).toBe(1);
    expect(value(after, "ocelli_recording_bytes_total", { camera: "camera100" })).toBe(
      stopped.files[0]?.file_size,
    );
    expect(value(after, "ocelli_library_bytes", { kind: "recording" })).toBe(stopped.files[0]?.file_size);
    expect(samplesOf(after, "ocelli_recordings_active")).toEqual([]);
    const delivered = samplesOf(after, "ocelli_webhook_deliveries_total");
    expect(delivered.find(({ labels }) => labels.outcome === "delivered")?.value).toBeGreaterThan(2);
    const started = value(after, "ocelli_events_total", { event: "recording.started" });
    expect([started, value(after, "ocelli_events_total", { event: "recording.stopped" })]).toEqual([1, 1]);
    // Counters never fall.
    for (const { type, samples } of during.filter((family) => family.type === "counter")) {
      for (const { name, labels, value: then } of samples) {
        expect([type, name, value(after, name, labels) >= (then ?? 0)]).toEqual([type, name, true]);
      }
    }
  });

  it("are named by the rules: units, _total, help for each", async () => {
    const own = (await scrape()).filter(({ name }) => name.startsWith("ocelli_"));
    expect(own.length).toBeGreaterThan(30);
    for (const { name, type, help, samples } of own) {
      expect([name, help.length > 10]).toEqual([name, true]);
      // The parser takes `_total` off the name of a counter's family.
      if (type === "counter") expect(samples.map((sample) => sample.name)).toContain(`${name}_total`);
      else expect(name).not.toMatch(/_total$/);
      expect(name).not.toMatch(/_(ms|milliseconds|bits|megabytes|percent)(_|$)/);
    }
  });

  it("are all there that the dashboard asks for, with the labels it uses", async () => {
    await using rpc = await hub.rpc();
    await rpc.call("start_recording", { device: "camera100" });
    const families = await scrape();
    await rpc.call("stop_recording", { device: "camera100" });
    const file = join(root, "deploy/grafana/ocelli-dashboard.json");
    const dashboard = JSON.parse(readFileSync(file, "utf8")) as Dashboard;
    const problems: string[] = [];
    const check = (where: string, query: string, shown: readonly string[]): void => {
      const { selectors, groups } = readQuery(query);
      if (selectors.length === 0) problems.push(`${where}: no metric in ${query}`);
      for (const { metric, matchers } of selectors) {
        const samples = samplesOf(families, metric);
        if (samples.length === 0) {
          problems.push(`${where}: there is no ${metric}`);
          continue;
        }
        const labels = new Set(samples.flatMap((sample) => Object.keys(sample.labels)));
        for (const label of [...groups, ...shown, ...matchers.map((matcher) => matcher.label)]) {
          if (!labels.has(label) && !addedByPrometheus.includes(label))
            problems.push(`${where}: ${metric} has no label ${label}`);
        }
        for (const { label, is, value: wanted } of matchers) {
          if (wanted.includes("$") || addedByPrometheus.includes(label)) continue;
          const fits =
            is === "="
              ? (one: string) => one === wanted
              : (one: string) => new RegExp(`^(?:${wanted})$`).test(one);
          if (!samples.some((sample) => fits(sample.labels[label] ?? "")))
            problems.push(`${where}: no ${metric} has ${label}${is}"${wanted}"`);
        }
      }
    };
    const targets = dashboard.panels.flatMap(({ title, targets: list = [] }) =>
      list.map((target) => ({ title, ...target })),
    );
    expect(targets.length).toBeGreaterThan(30);
    for (const { title, expr, legendFormat } of targets)
      check(
        title,
        expr,
        [...legendFormat.matchAll(/\{\{(\w+)\}\}/g)].map(([, label = ""]) => label),
      );
    for (const { definition } of dashboard.templating.list) {
      const [, query = "", label = ""] = /^label_values\((.*),\s*(\w+)\)$/.exec(definition ?? "") ?? [];
      if (definition !== undefined) check("variables", query, [label]);
    }
    expect(problems).toEqual([]);
  });

  it("are all in the documentation, which names no others", async () => {
    const page = readFileSync(join(root, "docs/monitoring.md"), "utf8");
    const documented = [...page.matchAll(/^\| `(ocelli_\w+)` \| (\w+) \| ([^|]*)\|/gm)].map(
      ([, name = "", kind = "", labels = ""]) => [
        name,
        kind,
        [...labels.matchAll(/\w+/g)].map(([one]) => one),
      ],
    );
    const families = await scrape();
    const there = families
      .filter(({ name }) => name.startsWith("ocelli_"))
      .map(({ name, type, samples }) => {
        const labels = new Set(samples.flatMap((sample) => Object.keys(sample.labels)));
        labels.delete("le");
        return [type === "counter" ? `${name}_total` : name, type, [...labels]] as const;
      });
    // Labels of metrics without a sample now are not to be seen.
    const bare = new Set(there.filter(([, , labels]) => labels.length === 0).map(([name]) => name));
    const known = (list: readonly (readonly unknown[])[]) =>
      list
        .map(([name, kind, labels]) => [
          name,
          kind,
          bare.has(String(name)) ? [] : [...(labels as string[])].sort(),
        ])
        .sort((a, b) => String(a[0]).localeCompare(String(b[0])));
    expect(known(documented)).toEqual(known(there));
    const alarms = [...page.matchAll(/^\|[^|]*\| `((?:\w+\()*ocelli_[^`]* [^`]*)` \|$/gm)].map(
      ([, query = ""]) => query,
    );
    expect(alarms.length).toBeGreaterThan(5);
    const names = new Set(families.flatMap(({ samples }) => samples.map(({ name }) => name)));
    for (const query of alarms) {
      for (const { metric } of readQuery(query).selectors)
        expect([query, metric.startsWith("ocelli_recordings_active") || names.has(metric)]).toEqual([
          query,
          true,
        ]);
    }
  });

  it("find mistakes in queries", () => {
    expect(
      readQuery('histogram_quantile(0.5, sum by (le) (rate(a_bucket{x=~"$y", z="1"}[5m]))) or vector(0)'),
    ).toEqual({
      groups: ["le"],
      selectors: [
        {
          metric: "a_bucket",
          matchers: [
            { label: "x", is: "=~", value: "$y" },
            { label: "z", is: "=", value: "1" },
          ],
        },
      ],
    });
  });
});

describe("who may read the metrics", () => {
  it("is a viewer of all cameras, or a network that was named", async () => {
    await using hub = await startHub({
      env: {
        ...virtualCameras(),
        OCELLI_METRICS_NETWORKS: "127.0.0.2/32",
      },
    });
    const statusFrom = async (key?: string): Promise<number> => {
      const headers: Record<string, string> = key === undefined ? {} : { authorization: `Bearer ${key}` };
      return (await fetch(`${hub.url}/metrics`, { headers })).status;
    };
    await using rpc = await hub.rpc();
    const key = async (more: object): Promise<string> => {
      const made = await rpc.call<{ api_key: string }>("create_api_key", {
        name: "p",
        role: "viewer",
        ...more,
      });
      return made.api_key;
    };
    expect(await statusFrom()).toBe(401);
    expect(await statusFrom("wrong")).toBe(401);
    expect(await statusFrom(await key({}))).toBe(200);
    expect(await statusFrom(await key({ cameras: ["camera100"] }))).toBe(403);
    // From the address that was allowed, and pretending to be it.
    const curl = (...more: string[]): string =>
      spawnSync("curl", ["-s", "-o", "/dev/null", "-w", "%{http_code}", ...more, `${hub.url}/metrics`], {
        encoding: "utf8",
      }).stdout;
    expect(curl("--interface", "127.0.0.2")).toBe("200");
    expect(curl("-H", "X-Forwarded-For: 127.0.0.2")).toBe("401");
    // A page that is open in a browser there, of another site or by a name made to point here.
    expect(curl("--interface", "127.0.0.2", "-H", "Origin: https://evil.example")).toBe("401");
    expect(curl("--interface", "127.0.0.2", "-H", "Host: evil.example")).toBe("401");
  });
});
