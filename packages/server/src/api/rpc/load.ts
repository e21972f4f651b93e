/** The load of the hub as the endpoint measures it. */
import type { Load } from "../../health/judgement.ts";
import type { HubFigures } from "./services.ts";

/** One failure of three is no rate. */
const fewestRequests = 20;

const percent = (part: number, whole: number): number =>
  whole <= 0 ? 0 : Math.round((part / whole) * 10_000) / 100;

export function loadOf({ machine, requests, connections, maxConnections }: HubFigures): Load {
  const { memoryUsedBytes, memoryBytes } = machine.measure();
  const { total, meanMs, errorRate } = requests.recent;
  return {
    memory: percent(memoryUsedBytes, memoryBytes),
    errors: total < fewestRequests ? 0 : percent(errorRate, 1),
    responseMs: meanMs,
    connections: percent(connections(), maxConnections),
  };
}
