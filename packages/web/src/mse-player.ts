/**
 * Plays `GET /live/{camera}/mse` in a video element and keeps it at the live edge: it follows the hub's
 * messages, jumps over gaps, drops what was shown, and says how old the picture is.
 */
import { isRecord, type Params } from "./rpc.ts";

export interface Playing {
  readonly codec: string;
  readonly width: number;
  readonly height: number;
  readonly rendition: string;
}

export interface PlayerEvents {
  readonly onPlaying: (playing: Playing) => void;
  /** About twice a second. */
  readonly onNumbers: (numbers: { latencyMs: number | undefined; framesLost: number }) => void;
  /** What the capture does when it is not live; empty when it is. */
  readonly onCapture: (words: string) => void;
  /** Once, when nothing more will come. `unplayable`: this browser cannot play the stream. */
  readonly onEnd: (end: { readonly kind: "closed" | "unplayable"; readonly message: string }) => void;
}

type Job =
  | { readonly kind: "type"; readonly mime: string }
  | { readonly kind: "append"; readonly data: ArrayBuffer };

/** Codec families this browser plays, by a common profile of each. */
const probes: readonly (readonly [string, string])[] = [
  ["h264", 'video/mp4; codecs="avc1.640028"'],
  ["hevc", 'video/mp4; codecs="hvc1.1.6.L120.90"'],
  ["av1", 'video/mp4; codecs="av01.0.08M.08"'],
];

/** Seconds behind the newest frame. */
const wanted = 0.15;
const hurryFrom = 0.35;
const jumpFrom = 1;
const keepBehind = 5;

function mediaSourceClass(): typeof MediaSource | undefined {
  // Safari on phones has only the managed kind.
  const managed: unknown = Reflect.get(window, "ManagedMediaSource");
  return typeof managed === "function" ? (managed as typeof MediaSource) : globalThis.MediaSource;
}

export function playableCodecs(): string[] {
  const source = mediaSourceClass();
  if (source === undefined) return [];
  return probes.filter(([, mime]) => source.isTypeSupported(mime)).map(([name]) => name);
}

export class MsePlayer {
  readonly #video: HTMLVideoElement;
  readonly #events: PlayerEvents;
  readonly #socket: WebSocket;
  readonly #source: MediaSource;
  readonly #objectUrl: string;
  readonly #timer: number;
  #buffer: SourceBuffer | undefined;
  #jobs: Job[] = [];
  #framesLost = 0;
  /** Playback has begun at a keyframe, which may be older than need be. */
  #mayCatchUp = false;
  /** Ties media time to capture time and to the hub's clock. */
  #reference: { mediaTimeUs: number; ageUs: number; atMs: number } | undefined;
  #lastWords = "";
  #ended = false;

  /** @param url of the WebSocket, with `codecs` */
  constructor(video: HTMLVideoElement, url: string, events: PlayerEvents) {
    const Source = mediaSourceClass();
    if (Source === undefined) throw new Error("This browser has no Media Source Extensions");
    this.#video = video;
    this.#events = events;
    this.#source = new Source();
    this.#objectUrl = URL.createObjectURL(this.#source);
    video.disableRemotePlayback = true;
    video.src = this.#objectUrl;
    this.#source.addEventListener("sourceopen", () => this.#work());
    video.addEventListener("error", this.#onVideoError);
    this.#socket = new WebSocket(url);
    this.#socket.binaryType = "arraybuffer";
    this.#socket.addEventListener("message", ({ data }: MessageEvent<unknown>) => {
      if (data instanceof ArrayBuffer) this.#push({ kind: "append", data });
      else this.#take(JSON.parse(String(data)));
    });
    this.#socket.addEventListener("close", () => this.#end("closed", this.#lastWords));
    this.#timer = window.setInterval(() => this.#follow(), 250);
  }

  close(): void {
    this.#ended = true;
    clearInterval(this.#timer);
    this.#socket.close();
    this.#video.removeEventListener("error", this.#onVideoError);
    this.#video.removeAttribute("src");
    this.#video.load();
    URL.revokeObjectURL(this.#objectUrl);
    this.#jobs = [];
  }

  readonly #onVideoError = (): void => {
    this.#end("unplayable", this.#video.error?.message || "the browser could not decode the stream");
  };

  #end(kind: "closed" | "unplayable", message: string): void {
    if (this.#ended) return;
    this.close();
    this.#events.onEnd({ kind, message });
  }

  #take(message: unknown): void {
    if (!isRecord(message)) return;
    switch (message.type) {
      case "init":
        this.#push({ kind: "type", mime: String(message.mime) });
        this.#refer(message);
        this.#events.onPlaying({
          codec: String(message.codec),
          width: Number(message.width),
          height: Number(message.height),
          rendition: String(message.rendition),
        });
        this.#events.onCapture("");
        break;
      case "time":
        this.#refer(message);
        break;
      case "lost":
        this.#framesLost += Number(message.frames);
        break;
      case "state":
        this.#events.onCapture(captureWords(String(message.state), message.reason));
        break;
      case "error":
        this.#lastWords = String(message.message);
        break;
    }
  }

  #refer(message: Params): void {
    this.#reference = {
      mediaTimeUs: Number(message.mediaTimeUs),
      ageUs: Number(message.nowUs) - Number(message.capturedAtUs),
      atMs: performance.now(),
    };
  }

  #push(job: Job): void {
    if (this.#ended) return;
    this.#jobs.push(job);
    this.#work();
  }

  /** Hands the next job to the browser, which takes one at a time. */
  #work(): void {
    while (this.#source.readyState === "open" && this.#buffer?.updating !== true) {
      const job = this.#jobs[0];
      if (job === undefined) return;
      try {
        if (job.kind === "type") this.#changeType(job.mime);
        else this.#buffer?.appendBuffer(job.data);
        this.#jobs.shift();
      } catch (error) {
        if (error instanceof DOMException && error.name === "QuotaExceededError" && this.#trim(1)) return;
        this.#end("unplayable", error instanceof Error ? error.message : String(error));
        return;
      }
    }
  }

  #changeType(mime: string): void {
    if (this.#buffer !== undefined) {
      this.#buffer.changeType(mime);
      return;
    }
    this.#buffer = this.#source.addSourceBuffer(mime);
    this.#buffer.addEventListener("updateend", () => {
      this.#work();
      this.#start();
    });
  }

  /** The stream's own times go on for ever and begin anywhere: playback begins where the buffer does. */
  #start(): void {
    const { buffered } = this.#video;
    if (buffered.length === 0 || this.#video.currentTime >= buffered.start(0)) return;
    this.#video.currentTime = buffered.start(buffered.length - 1);
    this.#mayCatchUp = true;
    // Muted video may start by itself; where even that is forbidden the viewer presses play.
    this.#video.play().catch(() => {
      this.#video.controls = true;
    });
  }

  #follow(): void {
    const { buffered } = this.#video;
    const last = buffered.length - 1;
    if (last >= 0) {
      const behind = buffered.end(last) - this.#video.currentTime;
      const isFarBehind = behind > (this.#mayCatchUp ? hurryFrom : jumpFrom);
      if (this.#video.currentTime < buffered.start(last) || isFarBehind) {
        this.#video.currentTime = Math.max(buffered.start(last), buffered.end(last) - wanted);
      }
      this.#mayCatchUp = false;
      this.#video.playbackRate = behind > hurryFrom ? 1.1 : 1;
      if (this.#video.currentTime - buffered.start(0) > 2 * keepBehind) this.#trim(keepBehind);
    }
    this.#events.onNumbers({ latencyMs: this.#latencyMs(), framesLost: this.#framesLost });
  }

  /** Age of the picture on the screen by the hub's clock; the way through the network is not in it. */
  #latencyMs(): number | undefined {
    const reference = this.#reference;
    if (reference === undefined || this.#video.readyState < HTMLMediaElement.HAVE_CURRENT_DATA)
      return undefined;
    const sinceMs = performance.now() - reference.atMs;
    const playedMs = this.#video.currentTime * 1000 - reference.mediaTimeUs / 1000;
    return Math.max(0, reference.ageUs / 1000 + sinceMs - playedMs);
  }

  /** Drops what is more than `seconds` before the picture shown. True when the browser is now at work. */
  #trim(seconds: number): boolean {
    const { buffered, currentTime } = this.#video;
    const until = currentTime - seconds;
    if (this.#buffer === undefined || this.#buffer.updating || buffered.length === 0) return false;
    if (until <= buffered.start(0)) return false;
    this.#buffer.remove(0, until);
    return true;
  }
}

function captureWords(state: string, reason: unknown): string {
  if (state === "live") return "";
  const why = typeof reason === "string" && reason !== "" ? ` (${reason})` : "";
  if (state === "stalled" || state === "recovering") return `Waiting for the camera to come back${why}`;
  return state === "failed" ? `The camera failed${why}` : `The camera is ${state}${why}`;
}
