#!/usr/bin/env python3
"""A MultiCam device for tests, of other make than Ocelli: written from seed 001 and the wire specification, standard
library only. It "records" by promising to hand out one real video file, and reads as phones do: one socket read, one
command.

  multicam_device.py --video FILE [--dialect v2|v1|prose] [--id NAME] [--habit HABIT ...] [--host A] [--port N]

Habits, any number:
  pieces            answers byte by byte
  late=SECONDS      answers that much later
  twice             sends every answer but a file two times
  garbage           answers with bytes that mean nothing
  vanish            is gone after the answer to START_RECORDING
  silent-stop       never answers STOP_RECORDING while it is idle (phones with iOS)
  terabyte          claims that the file has 1 TB, sends little and closes
  silent-file       goes silent in the middle of a file
  pause-file=N      the same, the first N times
  break-file=N      breaks the connection in the middle of a file, the first N times
  deaf=N            closes without an answer, the first N commands
  lose-start-answer, lose-stop-answer   does as it is told and closes without an answer, once
  unsynchronised    refuses to start: time_not_synchronized
  zero-size         says fileSize 0 after a stop (OAK)

Writes one JSON object a line: first {"port": N}, then {"seen": <command>} for each command.
"""
import argparse
import json
import os
import socket
import struct
import sys
import threading
import time

parser = argparse.ArgumentParser()
parser.add_argument("--video", required=True)
parser.add_argument("--dialect", choices=("v2", "v1", "prose"), default="v2")
parser.add_argument("--id", default="Mountain-A1B2C3D4")
parser.add_argument("--habit", action="append", default=[])
parser.add_argument("--host", default="127.0.0.1")
parser.add_argument("--port", type=int, default=0)
options = parser.parse_args()

lock = threading.RLock()
left = {}
for habit in options.habit:
    name, _, value = habit.partition("=")
    left[name] = float(value) if value else 1


def has(habit):
    return habit in left


def takes(habit):
    """Uses up one of so many times."""
    with lock:
        if left.get(habit, 0) < 1:
            return False
        left[habit] -= 1
        return True


def tell(**facts):
    with lock:
        sys.stdout.write(json.dumps(facts) + "\n")
        sys.stdout.flush()


class Camera:
    """None when idle, else the instant it was told to start at."""

    target = None
    files = []  # (name, seconds), oldest first


camera = Camera()


def state():
    if camera.target is None:
        return "ready"
    return "recording" if time.time() >= camera.target else "waiting"


prose = {
    "recording": "Recording",
    "ready": "Ready",
    "scheduled_recording_accepted": "Scheduled recording accepted",
    "recording_stopped": "Recording stopped",
    "error": "No recording in progress",
    "file_not_found": "File not found",
    "command_received": "Heartbeat acknowledged",
    "time_not_synchronized": "Time not synchronized",
}


def id_of(name):
    return os.path.splitext(name)[0]


def reply(status, **more):
    """A status in the device's dialect; absent values are left out, as phones do."""
    message = more.pop("message", None)
    file = more.pop("file", None)
    size = more.pop("size", None)
    base = {"deviceId": options.id, "status": status, "timestamp": time.time()}
    if options.dialect == "v2":
        if file is not None:
            return {**base, "fileName": file, "fileSize": size}
        if status in ("error", "file_not_found", "time_not_synchronized"):
            return {**base, "message": message or "refused"}
        return {
            **base,
            "batteryLevel": 87.5,
            "deviceType": "Android:Phone",
            "uploadQueue": [],
            "failedUploadQueue": [],
        }
    out = {
        **base,
        "isRecording": state() == "recording",
        "message": message,
        "fileId": None if file is None else id_of(file),
        "fileSize": size,
    }
    if options.dialect == "prose":
        out["status"] = prose.get(status, status)
        del out["message"]
    return out


def perform(command):
    """The answer to a command that is not GET_VIDEO; None for none at all."""
    name = command["command"]
    with lock:
        now = state()
        if name == "START_RECORDING":
            if has("unsynchronised"):
                return reply("time_not_synchronized", message="NTP has not answered yet")
            if now != "ready":
                return reply("recording")
            camera.target = max(command["timestamp"], time.time())
            if command["timestamp"] <= time.time():
                return reply("recording")
            return reply("scheduled_recording_accepted")
        if name == "STOP_RECORDING":
            if now != "recording":
                camera.target = None
                return None if has("silent-stop") else reply("error", message="Not currently recording")
            suffix = ".mov" if options.dialect == "prose" else os.path.splitext(options.video)[1]
            file = f"{options.id}_{round(camera.target * 1000)}{suffix}"
            camera.files.append((file, time.time()))
            camera.target = None
            size = 0 if has("zero-size") else os.path.getsize(options.video)
            return reply("recording_stopped", file=file, size=size)
        if name == "DEVICE_STATUS":
            return reply("command_received" if now == "waiting" else now)
        if name == "HEARTBEAT":
            return reply("command_received")
        if name == "LIST_FILES":
            if options.dialect == "prose":
                return reply("Invalid command format")
            size = os.path.getsize(options.video)
            files = [
                {
                    **({"fileId": id_of(file)} if options.dialect == "v1" else {}),
                    "fileName": file,
                    "fileSize": size,
                    "creationDate": at,
                    "modificationDate": at,
                }
                for file, at in camera.files
            ]
            return {"deviceId": options.id, "status": "ready", "timestamp": time.time(), "files": files}
        if name == "UPLOAD_TO_CLOUD" and options.dialect == "v2":
            if not command.get("uploadUrl") and not command.get("awsSessionToken"):
                return reply("error", message="nowhere to upload to")
            return reply("upload_queued")
        return reply("error", message="Invalid command")


def send(sock, data, times=1):
    if has("late"):
        time.sleep(left["late"])
    for _ in range(times):
        if has("pieces"):
            for at in range(len(data)):
                sock.sendall(data[at : at + 1])
                time.sleep(0.0005)
        else:
            sock.sendall(data)


def send_file(sock, command):
    key = command.get("fileId") if options.dialect != "v2" else command.get("fileName")
    known = [file for file, _ in camera.files if key in (file, id_of(file)) and key]
    if not known:
        send(sock, json.dumps(reply("file_not_found", message="File not found")).encode())
        return
    size = os.path.getsize(options.video)
    header = {
        "deviceId": options.id,
        "fileName": known[0],
        "fileSize": 10**12 if has("terabyte") else size,
        "status": "ready",
    }
    if options.dialect != "v2":
        header["fileId"] = id_of(known[0])
    text = json.dumps(header).encode()
    send(sock, struct.pack(">I", len(text)) + text)
    with open(options.video, "rb") as video:
        sent = 0
        while chunk := video.read(8192):
            sock.sendall(chunk)
            sent += len(chunk)
            if sent < size / 2:
                continue
            if has("terabyte") or takes("break-file"):
                sock.close()
                return
            if has("silent-file") or takes("pause-file"):
                sock.recv(1)  # until the other side gives up
                return


def serve(sock):
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    with sock:
        while True:
            # As phones do: what one read brings is one command.
            data = sock.recv(4096)
            if not data:
                return
            try:
                command = json.loads(data)
            except ValueError:
                tell(split=len(data))
                sock.sendall(json.dumps(reply("error", message="Invalid command format")).encode())
                continue
            tell(seen=command)
            if takes("deaf"):
                return
            if has("garbage"):
                sock.sendall(bytes(range(128, 256)))
                return
            if command["command"] == "GET_VIDEO":
                send_file(sock, command)
                continue
            answer = perform(command)
            kind = command["command"]
            if kind == "START_RECORDING" and takes("lose-start-answer"):
                return
            if kind == "STOP_RECORDING" and takes("lose-stop-answer"):
                return
            if answer is None:
                continue
            send(sock, json.dumps(answer).encode(), times=2 if has("twice") else 1)
            if kind == "START_RECORDING" and has("vanish"):
                os._exit(0)


def serve_quietly(sock):
    try:
        serve(sock)
    except OSError:
        pass


def end_with_parent():
    sys.stdin.read()
    os._exit(0)


threading.Thread(target=end_with_parent, daemon=True).start()
listener = socket.create_server((options.host, options.port), backlog=256)
tell(port=listener.getsockname()[1])
while True:
    peer, _ = listener.accept()
    threading.Thread(target=serve_quietly, args=(peer,), daemon=True).start()
