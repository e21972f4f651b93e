/** External streams as clients read them. Pure: from views to plain objects. */
import { isoOf } from "@ocelli/protocol/camera-service";
import type { DiscoveredStream, ExternalStreamView } from "../../events/catalogue.ts";

type StreamType = ExternalStreamView["type"];

/** What an added stream gave when it was last looked at. */
export function streamCapabilities({ facts }: ExternalStreamView): Record<string, unknown> {
  if (facts === undefined) return {};
  const { codec, width, height, fps, audio } = facts;
  return { codec, resolution: `${width}x${height}`, fps: fps === 0 ? null : fps, audio };
}

export function addedStream(stream: ExternalStreamView) {
  return {
    url: stream.url,
    type: stream.type,
    name: stream.name,
    status: stream.status === "CONNECTED" ? ("DISCOVERED" as const) : ("ERROR" as const),
    discovered_at: isoOf(stream.addedAtUs ?? 0),
    last_seen: stream.lastSeenUs === undefined ? null : isoOf(stream.lastSeenUs),
    capabilities: streamCapabilities(stream),
    added: true,
    camera_id: stream.cameraId ?? null,
    ...(stream.reason === undefined ? {} : { error: stream.reason }),
  };
}

export function foundStream(stream: DiscoveredStream, added: ExternalStreamView | undefined) {
  return {
    url: stream.url,
    type: stream.type,
    name: stream.name,
    status: stream.status,
    discovered_at: isoOf(stream.discoveredAtUs),
    last_seen: isoOf(stream.lastSeenUs),
    capabilities: { ...stream.capabilities },
    added: added !== undefined,
    camera_id: added?.cameraId ?? null,
    ...(stream.reason === undefined ? {} : { error: stream.reason }),
  };
}

export function byType<T extends { readonly type: StreamType }>(streams: readonly T[]) {
  return {
    skydio_streams: streams.filter(({ type }) => type === "skydio_stanag4609"),
    generic_streams: streams.filter(({ type }) => type === "generic_rtsp"),
  };
}
