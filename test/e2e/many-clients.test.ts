import { expect, it } from "vitest";
import { Fleet } from "../../bench/load/fleet.ts";
import { loadedHubEnv, viewerHeaders } from "../../bench/load/loaded-hub.ts";
import { startHub, until } from "../harness/hub.ts";

const many = 400;
const stalled = 20;
const events = 20;

it("tells hundreds of clients every event while some of them do not read, and forgets all when they go", async () => {
  await using hub = await startHub({ env: loadedHubEnv });
  await using admin = await hub.rpc();
  await using fleet = new Fleet(2);
  await fleet.connect(
    { host: "127.0.0.1", port: hub.port, path: "/ws", headers: viewerHeaders },
    many + stalled,
    50,
  );
  const active = async (): Promise<number> =>
    (await admin.call<{ active_connections: number }>("get_metrics")).active_connections;
  expect(await active()).toBe(many + stalled + 1);
  // Far more than the hub and the kernel let wait for one client.
  await fleet.stall(
    stalled,
    JSON.stringify({ jsonrpc: "2.0", id: 1, method: "get_supported_methods" }),
    6000,
  );

  const names = Array.from({ length: events }, (_, event) => `of the event ${event}.`);
  await fleet.watch(names);
  for (const name of names) await admin.call("set_camera_settings", { device: "camera100", name });
  // The last one, so that the others are there.
  await until("all are told", async () => (await fleet.arrived()) === many, 60_000);
  const seen = await fleet.seen();
  expect(seen.map(({ atMs }) => atMs.filter((at) => Number.isNaN(at)).length)).toEqual(names.map(() => 0));
  for (let client = 0; client < many; client++) {
    const times = seen.map(({ atMs }) => atMs[client] ?? Number.NaN);
    expect(times).toEqual(times.toSorted((a, b) => a - b));
  }
  expect(await fleet.count()).toEqual({ open: many, ended: {} });
  await expect(admin.call("ping")).resolves.toBe("pong");

  await fleet.close();
  await until("the hub has forgotten them", async () => (await active()) === 1);
});
