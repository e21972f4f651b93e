/**
 * The live picture of one camera: MSE where the browser plays the codec, MJPEG otherwise; connects again by
 * itself, and lets go of the camera while nobody can see the page.
 */
import { element } from "./dom.ts";
import { liveLinks } from "./hub.ts";
import { MsePlayer, playableCodecs } from "./mse-player.ts";
import { codecText } from "./words.ts";

export interface LiveViewEvents {
  /** Format and how it comes, in words. */
  readonly onFormat: (words: string) => void;
  /** Age of the picture and what was lost, in words. */
  readonly onNumbers: (words: string) => void;
}

const firstRetryMs = 500;
const longestRetryMs = 10_000;
const hiddenForMs = 10_000;

export class LiveView {
  /** Put this into the page. */
  readonly root = element("div", "picture");
  /** Says that the picture is live. Put it beside the picture, not over it: cameras write into their corners. */
  readonly badge = element("span", "badge live", "Live");
  readonly #cameraId: string;
  readonly #events: LiveViewEvents;
  readonly #veil = element("div", "veil", "Connecting…");
  #codecs = playableCodecs();
  #player: MsePlayer | undefined;
  #retryTimer: number | undefined;
  #hiddenTimer: number | undefined;
  #retryMs = firstRetryMs;
  #wanted = false;
  #closed = false;
  /** Answers that come for an earlier attempt are ignored. */
  #attempt = 0;

  constructor(cameraId: string, events: LiveViewEvents) {
    this.#cameraId = cameraId;
    this.#events = events;
    this.root.append(this.#veil);
    this.badge.hidden = true;
    document.addEventListener("visibilitychange", this.#onVisibility);
  }

  /** Shows the picture; where it is missing, another attempt is made at once. */
  start(): void {
    if (this.#wanted && this.#hasPicture()) return;
    this.#wanted = true;
    // When the page comes into view it connects by itself.
    if (document.visibilityState === "hidden") return;
    this.#retryMs = firstRetryMs;
    void this.#connect();
  }

  /** @param words what is shown instead of the picture */
  stop(words: string): void {
    this.#wanted = false;
    this.#clear();
    this.#show(words);
  }

  close(): void {
    this.#closed = true;
    this.#wanted = false;
    clearTimeout(this.#hiddenTimer);
    document.removeEventListener("visibilitychange", this.#onVisibility);
    this.#clear();
  }

  async #connect(): Promise<void> {
    this.#clear();
    const attempt = ++this.#attempt;
    try {
      const links = await liveLinks(this.#cameraId);
      if (attempt !== this.#attempt || !this.#wanted) return;
      if (this.#codecs.length > 0) this.#playMse(links.mse);
      else this.#playMjpeg(links.mjpeg);
    } catch (error) {
      if (attempt === this.#attempt) this.#retry(error instanceof Error ? error.message : String(error));
    }
  }

  #playMse(link: string): void {
    const video = element("video");
    video.muted = true;
    video.autoplay = true;
    video.playsInline = true;
    let hasPlayed = false;
    video.addEventListener("playing", () => {
      hasPlayed = true;
      this.#show("");
    });
    this.root.prepend(video);
    const url = new URL(`${link}&codecs=${this.#codecs.join(",")}`, location.href);
    url.protocol = url.protocol.replace("http", "ws");
    this.#player = new MsePlayer(video, url.href, {
      onPlaying: ({ codec, width, height, rendition }) => {
        this.#retryMs = firstRetryMs;
        const how = rendition === "native" ? "as the camera sends it" : "converted for this browser";
        this.#events.onFormat(`${width}×${height} · ${codecText(codec)}, ${how}`);
      },
      onNumbers: ({ latencyMs, framesLost }) => {
        const age = latencyMs === undefined ? "" : `${Math.round(latencyMs / 10) * 10} ms behind`;
        this.#events.onNumbers(framesLost === 0 ? age : `${age} · ${framesLost} frames lost`);
      },
      onCapture: (words) => this.#show(words),
      onEnd: ({ kind, message }) => {
        // What has played before was only disturbed. Otherwise one codec less; without any the pictures come as JPEG.
        if (kind === "unplayable" && !hasPlayed) this.#codecs = this.#codecs.includes("hevc") ? ["h264"] : [];
        this.#retry(message);
      },
    });
  }

  #playMjpeg(link: string): void {
    const image = element("img");
    image.alt = "";
    image.addEventListener("load", () => {
      this.#retryMs = firstRetryMs;
      this.#show("");
      this.#events.onFormat("MJPEG pictures");
    });
    image.addEventListener("error", () => this.#retry("The picture stopped"));
    image.src = link;
    this.root.prepend(image);
  }

  #retry(message: string): void {
    this.#clear();
    if (!this.#wanted) return;
    this.#show(message === "" ? "Connecting again…" : `${message} Trying again…`);
    this.#retryTimer = window.setTimeout(() => void this.#connect(), this.#retryMs);
    this.#retryMs = Math.min(this.#retryMs * 2, longestRetryMs);
  }

  /** Ends what runs, the picture with it. */
  #clear(): void {
    this.#attempt += 1;
    clearTimeout(this.#retryTimer);
    this.#player?.close();
    this.#player = undefined;
    for (const picture of this.root.querySelectorAll("video, img")) {
      // An image goes on loading its endless stream unless it is told otherwise.
      picture.removeAttribute("src");
      picture.remove();
    }
    this.#events.onNumbers("");
  }

  #hasPicture(): boolean {
    return this.root.querySelector("video, img") !== null;
  }

  #show(words: string): void {
    this.#veil.textContent = words;
    this.#veil.hidden = words === "";
    this.badge.hidden = words !== "";
  }

  readonly #onVisibility = (): void => {
    clearTimeout(this.#hiddenTimer);
    if (this.#closed) return;
    if (document.visibilityState === "hidden") {
      this.#hiddenTimer = window.setTimeout(() => {
        if (this.#wanted) this.#clear();
      }, hiddenForMs);
    } else if (this.#wanted && !this.#hasPicture()) {
      void this.#connect();
    }
  };
}
