/** Hears from every device again and again. Each at its own pace: one that answers late holds up no other. */
import { sleep } from "../../waiting.ts";
import type { MultiCamDevice } from "./device.ts";

export class Polling {
  readonly #asked = new Map<string, Promise<void>>();
  readonly #closing: AbortSignal;
  #ticking: Promise<void> | undefined;

  constructor(closing: AbortSignal) {
    this.#closing = closing;
  }

  /** @param ask shall reject when `closing` is aborted; why it fails is not of interest */
  start(
    intervalSeconds: number,
    devices: () => readonly MultiCamDevice[],
    ask: (device: MultiCamDevice) => Promise<unknown>,
  ): void {
    this.#ticking ??= (async () => {
      for (;;) {
        for (const device of devices()) this.#ask(device, ask);
        await sleep(intervalSeconds, this.#closing);
      }
    })().catch(() => undefined);
  }

  /** Resolves when nothing is asked any more. */
  async ended(): Promise<void> {
    await this.#ticking;
    await Promise.all(this.#asked.values());
  }

  #ask(device: MultiCamDevice, ask: (device: MultiCamDevice) => Promise<unknown>): void {
    if (this.#asked.has(device.id)) return;
    const answered = ask(device)
      .then(
        () => undefined,
        () => undefined,
      )
      .finally(() => this.#asked.delete(device.id));
    this.#asked.set(device.id, answered);
  }
}
