import { box } from "./box-builder.ts";
import { type Box, boxBody, childBoxes, findBox, malformed, requireBox } from "./box-reader.ts";
import type { InitSegment } from "./fragment.ts";
import { FragmentParser, type FragmentParserOptions, type RawFrame } from "./fragment-parser.ts";
import { parseInitSegment } from "./init-segment.ts";

/**
 * Video and audio of one run of ffmpeg, each written by an output of its own (`-map 0:v … pipe:1 -map 0:a …
 * pipe:3`, both with the movflags of the capture and `+frag_discont`), made into one stream with two tracks.
 *
 * Why two pipes: with both tracks in one output and `+frag_every_frame`, ffmpeg flushes all tracks at every
 * packet and guesses where the other one's frame ends. The next frame then gets the guess as its time, and
 * where the guess was too late it loses its own times altogether (seen with 5.1: a frame of duration 0 with
 * the time of its successor). Alone in an output, every frame keeps its time.
 */

const audioTrackId = 2;
/** ffmpeg writes both headers before the first frame, so few frames wait for the other header. */
const maxHeldFrames = 1000;

export class TwoPipeParser {
  readonly #video: FragmentParser;
  readonly #audio: FragmentParser;
  #init: InitSegment | undefined;
  #held: RawFrame[] = [];
  #videoSeen = false;

  constructor(options: FragmentParserOptions = {}) {
    this.#video = new FragmentParser(options);
    this.#audio = new FragmentParser(options);
  }

  /** With both tracks; known once both pipes have brought their headers. */
  get init(): InitSegment | undefined {
    return this.#init;
  }

  get pendingBytes(): number {
    return this.#video.pendingBytes + this.#audio.pendingBytes;
  }

  /** As `FragmentParser.push`. @throws OcelliError `media_malformed`, `unsupported` codec */
  pushVideo(chunk: Buffer): RawFrame[] {
    return this.#take(this.#video.push(chunk));
  }

  /** Audio that comes before the first picture is dropped. @throws OcelliError `media_malformed`, `unsupported` codec */
  pushAudio(chunk: Buffer): RawFrame[] {
    return this.#take(this.#audio.push(chunk));
  }

  #take(frames: readonly RawFrame[]): RawFrame[] {
    const wanted = frames.filter((frame) => {
      if (frame.track.kind === "video") this.#videoSeen = true;
      return this.#videoSeen;
    });
    this.#held.push(...wanted);
    if (!this.#init && this.#video.init && this.#audio.init) {
      this.#init = parseInitSegment(mergeInits(this.#video.init.bytes, this.#audio.init.bytes));
    }
    const init = this.#init;
    if (!init) {
      if (this.#held.length > maxHeldFrames)
        throw malformed("one of the two outputs brought no init segment");
      return [];
    }
    const ready = this.#held.map((frame) => inTrackOf(init, frame));
    this.#held = [];
    return ready;
  }
}

function inTrackOf(init: InitSegment, frame: RawFrame): RawFrame {
  const track = init.tracks.find((candidate) => candidate.kind === frame.track.kind);
  if (!track)
    throw malformed(`a frame of ${frame.track.kind}, which its pipe's init segment does not announce`);
  if (frame.track.id !== track.id) writeTrackId(frame.bytes, track.id);
  return { ...frame, init, track };
}

function writeTrackId(bytes: Buffer, id: number): void {
  const moof = childBoxes(bytes, 0)[0];
  const tfhd = moof && findBox(moof, "traf", "tfhd");
  if (tfhd) boxBody(tfhd, 8).writeUInt32BE(id, 4);
}

/**
 * One init segment from one of video and one of audio.
 * @throws OcelliError `media_malformed` where either has not exactly its one track
 */
export function mergeInits(video: Buffer, audio: Buffer): Buffer {
  const [videoMoov, audioMoov] = [moovOf(video, "video"), moovOf(audio, "audio")];
  const audioTrak = copyOf(requireBox(audioMoov, "trak"));
  const tkhd = boxBody(requireBox(audioTrak, "tkhd"), 84);
  tkhd.writeUInt32BE(audioTrackId, tkhd[0] === 1 ? 20 : 12);
  const audioTrex = copyOf(requireBox(audioMoov, "mvex", "trex"));
  boxBody(audioTrex, 24).writeUInt32BE(audioTrackId, 4);
  const mvhd = copyOf(requireBox(videoMoov, "mvhd"));
  mvhd.bytes.writeUInt32BE(audioTrackId + 1, mvhd.bytes.length - 4);

  const mvex = box("mvex", requireBox(videoMoov, "mvex", "trex").bytes, audioTrex.bytes);
  const moov = box("moov", mvhd.bytes, requireBox(videoMoov, "trak").bytes, audioTrak.bytes, mvex);
  const ftyp = childBoxes(video, 0).find((child) => child.type === "ftyp");
  return ftyp ? Buffer.concat([ftyp.bytes, moov]) : moov;
}

function moovOf(init: Buffer, kind: "video" | "audio"): Box {
  const { tracks } = parseInitSegment(init);
  const moov = childBoxes(init, 0).find((child) => child.type === "moov");
  const only = tracks[0];
  if (!moov || tracks.length !== 1 || only?.kind !== kind) {
    throw malformed(
      `the ${kind} output has ${tracks.map((track) => track.kind).join(" and ")} instead of one track`,
    );
  }
  if (kind === "video" && only.id === audioTrackId)
    throw malformed("the video output uses the audio's track number");
  return moov;
}

function copyOf(original: Box): Box {
  return { ...original, bytes: Buffer.from(original.bytes) };
}
