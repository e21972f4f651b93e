/** Made-up fragments for tests of the ring and its readers. */
import type { Fragment, InitSegment, VideoTrack } from "../../media/fragment.ts";

const videoTrack: VideoTrack = {
  kind: "video",
  id: 1,
  codec: "h264",
  codecString: "avc1.42c01e",
  width: 64,
  height: 48,
  timescale: 1_000_000,
};
const audioTrack = {
  kind: "audio",
  id: 2,
  codec: "aac",
  codecString: "mp4a.40.2",
  channels: 1,
  sampleRate: 48_000,
  timescale: 48_000,
} as const;

const init: InitSegment = {
  bytes: Buffer.alloc(0),
  tracks: [videoTrack],
  fingerprint: "made-up",
};

/** Makes fragments at 25 a second, a keyframe every `gop`. */
export function fragmentMaker(options: { gop?: number; bytes?: number } = {}) {
  let sequence = 0;
  const { gop = 10, bytes = 100 } = options;
  const make = (more: Partial<Fragment> = {}): Fragment => {
    const number = sequence++;
    const data = more.bytes ?? Buffer.alloc(bytes);
    return {
      init,
      track: videoTrack,
      sequence: number,
      mediaTimeUs: number * 40_000,
      decodeTimeUs: number * 40_000,
      durationUs: 40_000,
      keyframe: number % gop === 0,
      capturedAtUs: 1_700_000_000_000_000 + number * 40_000,
      receivedAtMonoUs: number * 40_000,
      discontinuity: false,
      bytes: data,
      sample: data,
      ...more,
    };
  };
  return Object.assign(make, {
    audio: (more: Partial<Fragment> = {}) => make({ track: audioTrack, keyframe: true, ...more }),
  });
}
