/** One camera on the page: its picture, what it is, and the two buttons. */
import { element } from "./dom.ts";
import type { CameraState } from "./hub.ts";
import { LiveView } from "./live-view.ts";
import { isRecord, type Params, type Rpc } from "./rpc.ts";
import { elapsedText } from "./words.ts";

export class CameraCard {
  /** Put this into the page. */
  readonly root = element("article", "camera");
  readonly #rpc: Rpc;
  readonly #id: string;
  readonly #onNewFile: () => void;
  readonly #view: LiveView;
  readonly #name = element("h2");
  readonly #status = element("span", "status");
  readonly #format = element("span");
  readonly #numbers = element("span");
  readonly #recBadge = element("span", "badge rec");
  readonly #snapshot = element("button", "", "Snapshot");
  readonly #record = element("button", "", "Record");
  readonly #outcome = element("span", "outcome");
  readonly #timer: number;
  #recordingSinceMs: number | undefined;

  constructor(rpc: Rpc, camera: CameraState, onNewFile: () => void) {
    this.#rpc = rpc;
    this.#id = camera.id;
    this.#onNewFile = onNewFile;
    this.#view = new LiveView(camera.id, {
      onFormat: (words) => {
        this.#format.textContent = words;
      },
      onNumbers: (words) => {
        this.#numbers.textContent = words;
      },
    });
    this.#snapshot.type = "button";
    this.#record.type = "button";
    this.#outcome.setAttribute("role", "status");
    this.root.dataset.camera = camera.id;
    const badges = element("span", "badges", this.#recBadge, this.#view.badge, this.#status);
    this.root.append(
      this.#view.root,
      element("div", "about", this.#name, element("span", "id", camera.id), badges),
      element("div", "details", this.#format, this.#numbers),
      element("div", "actions", this.#snapshot, this.#record, this.#outcome),
    );
    this.#snapshot.addEventListener("click", () => void this.#takeSnapshot());
    this.#record.addEventListener("click", () => void this.#toggleRecording());
    this.#timer = window.setInterval(() => this.#showElapsed(), 500);
    this.update(camera);
  }

  update(camera: CameraState): void {
    const isConnected = camera.status === "CONNECTED";
    this.#name.textContent = camera.name;
    this.#status.textContent = camera.status.toLowerCase();
    this.#status.className = `status ${camera.status}`;
    if (this.#format.textContent === "") {
      this.#format.textContent = [camera.resolution, camera.fps === undefined ? "" : `${camera.fps} fps`]
        .filter((part) => part !== "")
        .join(" · ");
    }
    this.#snapshot.disabled = !isConnected;
    this.#setRecording(camera.isRecording ? camera.recordingForS : undefined);
    this.#record.disabled = !isConnected && !camera.isRecording;
    if (isConnected) this.#view.start();
    else
      this.#view.stop(
        camera.reason || "The camera is not connected. It comes back by itself when plugged in.",
      );
  }

  /** A `recording_status_update` for this camera. */
  recordingChanged(params: Params): void {
    const isRunning = params.status === "RECORDING" || params.status === "STARTED";
    this.#setRecording(isRunning ? Number(params.duration ?? 0) : undefined);
    if (isRunning) return;
    const nested = isRecord(params.recording) ? params.recording : {};
    const why = params.status === "ERROR" ? String(params.error ?? nested.error ?? params.reason ?? "") : "";
    this.#say(
      why === "" ? `Recorded ${String(params.filename ?? "")}` : `The recording ended early: ${why}`,
      why !== "",
    );
    this.#onNewFile();
  }

  close(): void {
    clearInterval(this.#timer);
    this.#view.close();
    this.root.remove();
  }

  async #takeSnapshot(): Promise<void> {
    await this.#run(this.#snapshot, async () => {
      const answer = await this.#rpc.call("take_snapshot", { device: this.#id });
      this.#say(`Saved ${isRecord(answer) ? String(answer.filename) : "the picture"}`);
      this.#onNewFile();
    });
  }

  async #toggleRecording(): Promise<void> {
    await this.#run(this.#record, async () => {
      if (this.#recordingSinceMs === undefined) {
        const answer = await this.#rpc.call("start_recording", { device: this.#id });
        this.#setRecording(0);
        this.#say(isRecord(answer) ? `Recording to ${String(answer.filename)}` : "Recording");
      } else {
        const answer = await this.#rpc.call("stop_recording", { device: this.#id });
        this.#setRecording(undefined);
        this.#say(isRecord(answer) ? `Recorded ${String(answer.filename)}` : "Recording finished");
        this.#onNewFile();
      }
    });
  }

  async #run(button: HTMLButtonElement, action: () => Promise<void>): Promise<void> {
    button.disabled = true;
    try {
      await action();
    } catch (error) {
      this.#say(error instanceof Error ? error.message : String(error), true);
    } finally {
      button.disabled = false;
    }
  }

  #setRecording(elapsedS: number | undefined): void {
    this.#recordingSinceMs = elapsedS === undefined ? undefined : performance.now() - elapsedS * 1000;
    const isRecording = elapsedS !== undefined;
    this.#record.textContent = isRecording ? "Stop recording" : "Record";
    this.#record.classList.toggle("recording", isRecording);
    this.#recBadge.hidden = !isRecording;
    this.#showElapsed();
  }

  #showElapsed(): void {
    if (this.#recordingSinceMs === undefined) return;
    this.#recBadge.textContent = elapsedText((performance.now() - this.#recordingSinceMs) / 1000);
  }

  #say(words: string, failed = false): void {
    this.#outcome.textContent = words;
    this.#outcome.classList.toggle("failed", failed);
  }
}
