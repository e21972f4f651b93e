"""What a recording of the hub shows to somebody who does not trust the hub. Standard library, ffprobe and ffmpeg only.

    read_recording.py FILE [numbers]

Reads the standard boxes (ISO/IEC 14496-12: elst, mdhd, prft), asks ffprobe for the presented frames, and reads the
blocks that virtual cameras draw into their pictures (documented in devices/virtual/pattern.ts). Prints one JSON object:
frames, times (wall time of each presented frame, epoch microseconds, from prft; empty without prft), duration (seconds),
first: {number, ms} drawn into the first presented picture, or null; and, when asked for, numbers: those drawn into every
presented picture (null where none can be read).
"""
import json
import struct
import subprocess
import sys

path = sys.argv[1]
data = open(path, "rb").read()
NTP = 2208988800


def boxes(start, end):
    while start + 8 <= end:
        size, kind = struct.unpack(">I4s", data[start : start + 8])
        head = 8
        if size == 1:
            size, head = struct.unpack(">Q", data[start + 8 : start + 16])[0], 16
        elif size == 0:
            size = end - start
        if size < head:
            return
        yield kind.decode("latin1"), start + head, start + size, head
        start += size


def find(start, end, *names):
    for kind, body, stop, _ in boxes(start, end):
        if kind == names[0]:
            if len(names) == 1:
                yield body, stop
            else:
                yield from find(body, stop, *names[1:])


def video_track():
    """Timescale of the video track, and where its presentation begins on it."""
    for moov in find(0, len(data), "moov"):
        for trak in find(*moov, "trak"):
            (handler, _), = find(*trak, "mdia", "hdlr")
            if data[handler + 8 : handler + 12] != b"vide":
                continue
            (mdhd, _), = find(*trak, "mdia", "mdhd")
            scale = struct.unpack(">I", data[mdhd + (20 if data[mdhd] else 12) :][:4])[0]
            begin = 0
            for elst, _ in find(*trak, "edts", "elst"):
                wide = data[elst] == 1
                begin = struct.unpack(">q" if wide else ">i", data[elst + (16 if wide else 12) :][: 8 if wide else 4])[0]
            return scale, max(0, begin)
    raise SystemExit("no video track")


def references():
    """(media ticks, wall seconds) of each fragment; the outer mdat of a finished file holds them."""
    found = []

    def walk(start, end, depth):
        for kind, body, stop, head in boxes(start, end):
            if kind == "prft":
                version = data[body]
                _, seconds, fraction = struct.unpack(">III", data[body + 4 : body + 16])
                media = struct.unpack(">Q" if version else ">I", data[body + 16 :][: 8 if version else 4])[0]
                found.append((media, seconds - NTP + fraction / 2**32))
            elif kind == "mdat" and head == 16 and depth == 0:
                walk(body, stop, 1)

    walk(0, len(data), 0)
    return found


def probe(entries, *more):
    out = subprocess.run(
        ["ffprobe", "-v", "error", *more, "-select_streams", "v:0", "-show_entries", entries, "-of", "json", path],
        check=True, capture_output=True, text=True,
    )
    assert out.stderr.strip() == "", out.stderr
    return json.loads(out.stdout)


def blocks(width, pixels):
    """Sync word, number, milliseconds and check, three rows of twenty blocks of 16 x 16."""
    levels = [pixels[(16 * (n // 20) + 8) * width + 16 * (n % 20) + 8] for n in range(60)]
    bits = "".join("1" if level > 128 else "0" for level in levels)
    number, ms, check = int(bits[8:28], 2), int(bits[28:54], 2), int(bits[54:60], 2)
    return {"number": number, "ms": ms} if bits[:8] == "10110010" and (number + ms) % 61 == check else None


shown = probe("frame=pts_time:stream=width,height:format=duration", "-show_frames")
seconds = [float(frame["pts_time"]) for frame in shown["frames"]]
times = []
marks = references()
if marks:
    scale, begin = video_track()
    for at in seconds:
        media = at * scale + begin
        mark = [m for m in marks if m[0] <= media + 1][-1]
        times.append(round((mark[1] + (media - mark[0]) / scale) * 1e6))
width = shown["streams"][0]["width"]
height = shown["streams"][0]["height"]


def pictures(*more):
    args = ["ffmpeg", "-v", "error", "-i", path, "-map", "0:v:0", "-fps_mode", "passthrough", *more]
    args += ["-f", "rawvideo", "-pix_fmt", "gray", "-"]
    with subprocess.Popen(args, stdout=subprocess.PIPE) as ffmpeg:
        while picture := ffmpeg.stdout.read(width * height):
            yield picture
    assert ffmpeg.returncode == 0, ffmpeg.returncode


def drawn(*more):
    return [blocks(width, picture) if width >= 320 else None for picture in pictures(*more)]


facts = {
    "frames": len(seconds),
    "times": times,
    "duration": float(shown["format"]["duration"]),
    "first": drawn("-frames:v", "1")[0],
}
if "numbers" in sys.argv[2:]:
    facts["numbers"] = [one and one["number"] for one in drawn()]
print(json.dumps(facts))
