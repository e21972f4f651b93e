/** A process that loads a server with connections; told what to do by its parent (`fleet.ts`). */
import { setTimeout as sleep } from "node:timers/promises";
import type { Command, Commands } from "./commands.ts";
import { RawClient, textFrame } from "./raw-client.ts";

type Ask<C extends Command> = Commands[C]["ask"];
type Answer<C extends Command> = Commands[C]["answer"];

const clients: RawClient[] = [];
const stalled: RawClient[] = [];
const ended: Record<string, number> = {};
let watched: { words: readonly Buffer[]; atMs: Float64Array[]; samples: string[] } | undefined;

const monoMs = (): number => Number(process.hrtime.bigint()) / 1e6;

const handlers: { readonly [C in Command]: (ask: Ask<C>) => Promise<Answer<C>> | Answer<C> } = {
  async connect({ target, count, localAddresses, parallel }) {
    const handshakesMs = new Float64Array(count);
    let next = 0;
    const one = async (): Promise<void> => {
      while (next < count) {
        const index = next++;
        const startedAt = monoMs();
        const client = new RawClient(target, localAddresses[index % localAddresses.length]);
        await client.opened;
        handshakesMs[index] = monoMs() - startedAt;
        clients.push(client);
        void client.closed.then(() => {
          const how = String(client.closeCode ?? "cut");
          ended[how] = (ended[how] ?? 0) + 1;
          const at = clients.indexOf(client);
          if (at >= 0) clients.splice(at, 1);
        });
      }
    };
    await Promise.all(Array.from({ length: parallel }, one));
    return { handshakesMs };
  },

  async converse({ request, warmUpMs, ms }) {
    const frame = textFrame(request);
    let roundTrips = new Float64Array(1 << 16);
    let count = 0;
    let isMeasured = false;
    let goesOn = true;
    const idle = clients.map((client) => {
      const done = Promise.withResolvers<void>();
      let sentAt = 0;
      const ask = (): void => {
        sentAt = monoMs();
        client.send(frame);
      };
      client.onText = (payload) => {
        // Anything else is a notification.
        if (!payload.includes('"id":1')) return;
        if (isMeasured) {
          if (count === roundTrips.length) {
            const larger = new Float64Array(count * 2);
            larger.set(roundTrips);
            roundTrips = larger;
          }
          roundTrips[count++] = monoMs() - sentAt;
        }
        if (goesOn) ask();
        else done.resolve();
      };
      ask();
      return Promise.race([done.promise, client.closed]);
    });
    await sleep(warmUpMs);
    isMeasured = true;
    const startedAt = monoMs();
    await sleep(ms);
    isMeasured = false;
    const took = monoMs() - startedAt;
    goesOn = false;
    await Promise.all(idle);
    return { roundTripsMs: roundTrips.slice(0, count), ms: took };
  },

  watch({ words }) {
    const now = {
      words: words.map((word) => Buffer.from(word)),
      atMs: words.map(() => new Float64Array(clients.length).fill(Number.NaN)),
      samples: words.map(() => ""),
    };
    watched = now;
    for (const [index, client] of clients.entries()) {
      client.onText = (payload) => {
        for (const [which, word] of now.words.entries()) {
          const times = now.atMs[which];
          if (times === undefined || !Number.isNaN(times[index] ?? 0) || !payload.includes(word)) continue;
          times[index] = monoMs();
          if (now.samples[which] === "") now.samples[which] = payload.toString();
        }
      };
    }
    return {};
  },

  arrived: () => ({
    count: watched?.atMs.at(-1)?.reduce((sum, at) => sum + (Number.isNaN(at) ? 0 : 1), 0) ?? 0,
  }),

  seen() {
    const { atMs, samples } = watched ?? { atMs: [], samples: [] };
    watched = undefined;
    for (const client of clients) client.onText = () => {};
    return { atMs, samples };
  },

  stall({ count, request, times }) {
    const frame = textFrame(request);
    for (const client of clients.splice(0, count)) {
      stalled.push(client);
      client.stall();
      for (let time = 0; time < times; time++) client.send(frame);
    }
    return {};
  },

  count: () => ({ open: clients.length, ended }),

  async close() {
    await Promise.all(stalled.splice(0).map((client) => client.destroy()));
    await Promise.all([...clients].map((client) => client.close()));
    return {};
  },
};

interface Letter {
  readonly id: number;
  readonly command: Command;
  readonly ask: never;
}

process.on("message", ({ id, command, ask }: Letter) => {
  void (async () => {
    try {
      process.send?.({ id, answer: await handlers[command](ask) });
    } catch (error) {
      process.send?.({ id, error: error instanceof Error ? error.message : String(error) });
    }
  })();
});
// The parent is gone.
process.on("disconnect", () => process.exit(0));
