/** Making a copy of a recording in another container or codec. Long work, one at a time for a connection. */
import { isoOf } from "@ocelli/protocol/camera-service";
import { downloadUrl } from "../shapes-media.ts";
import type { MethodImplementation } from "./method.ts";

/** Progress is told at most this often, and always at the end. */
const progressEveryUs = 250_000;

export const exportRecording: MethodImplementation<"export_recording"> = {
  lane: () => "export",
  async run(params, { dialect, requestId, signal, notify }, { exports, library, clock, links }) {
    const source = library.get("recording", params.filename);
    const format = params.format ?? "mp4";
    const codec = params.codec ?? (format === "mp4" ? "h264" : "copy");
    let toldAtMonoUs = Number.NEGATIVE_INFINITY;
    let told = -1;
    const tell = (fraction: number): void => {
      const progress = Math.min(1, Math.max(0, fraction));
      if (progress <= told) return;
      if (progress < 1 && clock.monoUs() - toldAtMonoUs < progressEveryUs) return;
      told = progress;
      toldAtMonoUs = clock.monoUs();
      notify("export_update", {
        source: source.filename,
        format,
        codec,
        progress,
        request_id: requestId ?? null,
        timestamp: isoOf(clock.wallUs()),
      });
    };
    const result = await exports.run({ filename: source.filename, format, codec, signal, onProgress: tell });
    tell(1);
    return {
      success: true,
      source: source.filename,
      filename: result.filename,
      file_size: result.bytes,
      format,
      codec,
      download_url: downloadUrl("recording", result.filename, {
        names: dialect.names,
        sign: (path) => links.sign(path),
      }),
      timestamp: isoOf(clock.wallUs()),
    };
  },
};
