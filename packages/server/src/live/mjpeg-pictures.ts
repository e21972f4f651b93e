/**
 * The pictures of a camera as complete JPEGs, for viewers that show one after the other. Whoever asks for the
 * next picture gets the newest one: a slow viewer skips pictures instead of falling behind.
 */
import type { Camera } from "../cameras/contract.ts";
import type { Fragment } from "../media/fragment.ts";
import { completeJpeg } from "../media/jpeg.ts";
import type { ViewerCount } from "./viewers.ts";

export interface JpegPicture {
  readonly jpeg: Buffer;
  /** Epoch microseconds. */
  readonly capturedAtUs: number;
}

/** One fragment goes to many viewers; it is completed once. */
const completed = new WeakMap<Fragment, Buffer>();

function jpegOf(fragment: Fragment): Buffer {
  const done = completed.get(fragment);
  if (done !== undefined) return done;
  const jpeg = completeJpeg(fragment.sample);
  completed.set(fragment, jpeg);
  return jpeg;
}

/**
 * Ends when the source is closed; leaving the loop releases the capture.
 * @throws OcelliError as `FragmentSource.open`; the abort reason
 */
export async function* mjpegPictures(options: {
  readonly camera: Camera;
  readonly viewer: string;
  readonly count: ViewerCount;
  readonly signal: AbortSignal;
}): AsyncGenerator<JpegPicture, void, undefined> {
  const { camera, viewer, count, signal } = options;
  const lease = await camera
    .mjpeg()
    .open({ holder: `live view for ${viewer}`, from: "keyframe", overflow: "skip", signal });
  try {
    for (;;) {
      let newest: Fragment | undefined;
      do {
        const item = await lease.cursor.next(signal);
        if (item === undefined) return;
        if (item.kind === "lost") {
          count.lost(item.frames);
        } else if (item.fragment.track.kind === "video") {
          if (newest !== undefined) count.lost(1);
          newest = item.fragment;
        }
      } while (newest === undefined || lease.cursor.lag().fragments > 0);
      const jpeg = jpegOf(newest);
      count.sent(jpeg.length);
      yield { jpeg, capturedAtUs: newest.capturedAtUs };
    }
  } finally {
    lease.close();
  }
}
