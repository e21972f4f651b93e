/** Streams of the network that are found, added and removed while the hub runs. */
import { isoOf } from "@ocelli/protocol/camera-service";
import type { DiscoveredStream, ExternalStreamView } from "../../../events/catalogue.ts";
import { finderKinds } from "../../../external-streams/stream-search.ts";
import { roundedS } from "../shapes-camera.ts";
import { addedStream, byType, foundStream, streamCapabilities } from "../shapes-stream.ts";
import type { MethodImplementation, MethodTable } from "./method.ts";

const discoverExternalStreams: MethodImplementation<"discover_external_streams"> = {
  async run(params, _call, { externalStreams, streamSearch }) {
    const wanted = {
      onvif: params.onvif_enabled ?? true,
      skydio: params.skydio_enabled ?? true,
      generic: params.generic_enabled ?? false,
    };
    const result = await streamSearch.search({
      kinds: finderKinds.filter((kind) => wanted[kind]),
      force: params.force_rescan ?? false,
      includeOffline: params.include_offline ?? false,
    });
    const asked = {
      onvif: params.onvif_enabled,
      skydio: params.skydio_enabled,
      generic: params.generic_enabled,
    };
    const missing = finderKinds.filter((kind) => asked[kind] === true && !result.kinds.includes(kind));
    const added = externalStreams.list();
    const streams = result.streams.map((stream) => foundStream(stream, addedAs(stream, added)));
    return {
      discovered_streams: streams,
      ...byType(streams),
      scan_timestamp: isoOf(result.atUs),
      total_found: streams.length,
      discovery_options: {
        onvif_enabled: wanted.onvif,
        skydio_enabled: wanted.skydio,
        generic_enabled: wanted.generic,
        force_rescan: params.force_rescan ?? false,
        include_offline: params.include_offline ?? false,
        searched: result.kinds,
      },
      scan_duration: `${result.durationS.toFixed(1)}s`,
      errors: [
        ...result.errors,
        ...missing.map((kind) => `${kind}: switched off (discovery.${kind} in the configuration of the hub)`),
      ],
    };
  },
};

const addExternalStream: MethodImplementation<"add_external_stream"> = {
  lane: () => "external streams",
  async run(params, { signal }, { externalStreams, clock }) {
    const { stream_url, stream_name, stream_type, transport, audio } = params;
    const { stream, wasKnown } = await externalStreams.add({
      url: stream_url,
      signal,
      ...(stream_name === undefined ? {} : { name: stream_name }),
      ...(stream_type === undefined ? {} : { type: stream_type }),
      ...(transport === undefined ? {} : { transport }),
      ...(audio === undefined ? {} : { audio }),
    });
    return {
      stream_url: stream.url,
      stream_name: stream.name,
      stream_type: stream.type,
      status: "ADDED",
      timestamp: isoOf(clock.wallUs()),
      camera_id: stream.cameraId ?? null,
      already_added: wasKnown,
      camera_status: stream.status,
      capabilities: streamCapabilities(stream),
    };
  },
};

const removeExternalStream: MethodImplementation<"remove_external_stream"> = {
  lane: () => "external streams",
  async run({ stream_url, force }, _call, { externalStreams, clock }) {
    const removed = await externalStreams.remove(stream_url, force === undefined ? {} : { force });
    return {
      stream_url: removed.url,
      status: "REMOVED",
      timestamp: isoOf(clock.wallUs()),
      camera_id: removed.cameraId ?? null,
    };
  },
};

const getExternalStreams: MethodImplementation<"get_external_streams"> = {
  run(_params, _call, { externalStreams, streamSearch, clock }) {
    const added = externalStreams.list();
    const found = streamSearch.known.filter((stream) => addedAs(stream, added) === undefined);
    const streams = [...added.map(addedStream), ...found.map((stream) => foundStream(stream, undefined))];
    return {
      external_streams: streams,
      ...byType(streams),
      total_count: streams.length,
      timestamp: isoOf(clock.wallUs()),
    };
  },
};

const setDiscoveryInterval: MethodImplementation<"set_discovery_interval"> = {
  run({ scan_interval }, _call, { streamSearch, clock }) {
    streamSearch.changeInterval(scan_interval);
    return {
      scan_interval,
      status: "UPDATED",
      message:
        scan_interval === 0
          ? "Searches are made on demand only"
          : `A search is made every ${roundedS(scan_interval)} s`,
      timestamp: isoOf(clock.wallUs()),
    };
  },
};

function addedAs(
  { url }: DiscoveredStream,
  added: readonly ExternalStreamView[],
): ExternalStreamView | undefined {
  return added.find((stream) => stream.url === url);
}

export const externalStreamImplementations = {
  discover_external_streams: discoverExternalStreams,
  add_external_stream: addExternalStream,
  remove_external_stream: removeExternalStream,
  get_external_streams: getExternalStreams,
  set_discovery_interval: setDiscoveryInterval,
} satisfies Partial<MethodTable>;
