import { methodNames } from "@ocelli/protocol/camera-service";
import { expect, it } from "vitest";
import { cameraApi } from "./api-names.ts";

const called: unknown[] = [];
const api = cameraApi(async (...call) => void called.push(call));

it("has every method of the protocol, under its name in camel case", async () => {
  for (const name of methodNames) {
    const camel = name.replace(/_[a-z]/g, (letters) => letters.slice(1).toUpperCase());
    called.length = 0;
    await (api as unknown as Record<string, (params: object) => Promise<unknown>>)[camel]?.({ a: 1 });
    expect(called, camel).toEqual([[name, { a: 1 }, undefined]]);
  }
});

it("is typed by the protocol", async () => {
  called.length = 0;
  await api.getScheduledRecordings();
  await api.createApiKey({ name: "wall", role: "viewer" });
  await api.addExternalStream({ stream_url: "rtsp://camera.local/a" });
  await api["rpc.discover"]();
  // @ts-expect-error a required parameter is missing
  await api.createApiKey({ name: "wall" });
  // @ts-expect-error no parameters at all
  await api.getCameraSettings();
  // @ts-expect-error no such role
  await api.createApiKey({ name: "wall", role: "owner" });
  // @ts-expect-error no such method
  expect(() => api.noSuchMethod()).not.toThrow();
  expect(called).toHaveLength(8);
});

it("is no promise, so that it may be returned from an async function", async () => {
  expect(await Promise.resolve(api)).toBe(api);
});
