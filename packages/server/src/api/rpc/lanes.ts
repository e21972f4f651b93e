/**
 * Keeps the order of commands that touch the same thing, and lets all others overtake. A lane is a camera or any
 * other name; `everyCamera` waits for the commands of all cameras and holds later ones back.
 */

const cameraPrefix = "camera:";

export type Lane = string;
export const everyCamera: Lane = `${cameraPrefix}*`;

export function cameraLane(cameraId: string): Lane {
  return cameraPrefix + cameraId;
}

export class Lanes {
  /** Made with the first command: most connections only listen. */
  #tails: Map<Lane, Promise<unknown>> | undefined;

  /** Runs `work` when its turn has come; its outcome is the result. */
  run<T>(lane: Lane, work: () => Promise<T>): Promise<T> {
    this.#tails ??= new Map();
    const tails = this.#tails;
    const before = [...tails].filter(([other]) => waitsFor(lane, other)).map(([, tail]) => tail);
    const result = before.length === 0 ? work() : Promise.allSettled(before).then(work);
    const finished = (): void => {
      if (tails.get(lane) === tail) tails.delete(lane);
    };
    const tail: Promise<void> = result.then(finished, finished);
    tails.set(lane, tail);
    return result;
  }
}

function waitsFor(lane: Lane, other: Lane): boolean {
  if (lane === other) return true;
  if (lane === everyCamera) return other.startsWith(cameraPrefix);
  return other === everyCamera && lane.startsWith(cameraPrefix);
}
