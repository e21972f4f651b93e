#!/usr/bin/python3
"""A client of the older camera service, written from that service's Python client guide, with checks around it.

It shares nothing with this project: Debian's python3 and python3-websockets. Names of methods, of the fields that are read, of
the callbacks and of the exceptions are those of the guide. What travels where the guide is silent (numbers of errors,
"success", the inner "recording" of answers and its status words, status UNKNOWN) is that of the service's protocol. It takes
the hub as it is: an answer that lacks a field the guide reads fails the check.

--names guide  sends the guide's own spellings: auth_token, device_path, custom_filename
--names wire   sends the shorter ones of clients shipped with that service: token, device, filename
--sign-in      call: authenticate; header: only the headers the guide lists, at the handshake
--ca FILE      over TLS, trusting that authority only

Prints one line per check, "ok: ..." or "FAIL: ...". Exits 1 when one failed. Last it prints "waiting for the end of the
service" and expects the connection to be lost, when told so with --wait-for-loss; with --reconnect as well it connects again
from the callback, as the guide does, and expects the service to come back. With --expect-name NAME it prints "waiting for the
camera to be named" and expects its callback to be told of the camera by that name.
"""
import argparse
import asyncio
import json
import os
import socket
import ssl
import sys
import tempfile
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass
from typing import List, Optional

import websockets

SPELLINGS = {
    "guide": {"token": "auth_token", "device": "device_path", "filename": "custom_filename"},
    "wire": {"token": "token", "device": "device", "filename": "filename"},
}


class CameraServiceError(Exception):
    pass


class AuthenticationError(CameraServiceError):
    pass


class ConnectionError(CameraServiceError):  # the guide's name
    pass


class CameraNotFoundError(CameraServiceError):
    pass


class MediaMTXError(CameraServiceError):
    pass


@dataclass
class CameraInfo:
    device_path: str
    name: str
    capabilities: List[str]
    status: str
    stream_url: Optional[str] = None


@dataclass
class RecordingInfo:
    device_path: str
    recording_id: str
    filename: str
    start_time: float
    duration: Optional[float] = None
    status: str = "active"


class CameraClient:
    def __init__(self, host="localhost", port=8080, use_ssl=False, auth_type="jwt", auth_token=None, api_key=None,
                 max_retries=3, retry_delay=1.0, names="guide", sign_in="call", ca=None):
        self.scheme = "s" if use_ssl else ""
        # As the guide has it: the host name is checked, a certificate is required.
        self.ssl = ssl.create_default_context(cafile=ca) if use_ssl else None
        self.address = f"{host}:{port}"
        self.auth_type = auth_type
        self.credential = auth_token if auth_type == "jwt" else api_key
        self.max_retries = max_retries
        self.retry_delay = retry_delay
        self.spelling = SPELLINGS[names]
        self.sign_in = sign_in
        self.socket = None
        self.reader = None
        self.pending = {}
        self.next_id = 1
        self.on_camera = None
        self.on_recording = None
        self.on_lost = None

    def set_camera_status_callback(self, callback):
        self.on_camera = callback

    def set_recording_status_callback(self, callback):
        self.on_recording = callback

    def set_connection_lost_callback(self, callback):
        self.on_lost = callback

    @property
    def headers(self):
        if self.credential is None:
            return {}
        if self.auth_type == "api_key":
            return {"X-API-Key": self.credential}
        return {"Authorization": f"Bearer {self.credential}"}

    async def connect(self):
        cause = None
        for attempt in range(self.max_retries):
            if attempt > 0:
                await asyncio.sleep(self.retry_delay)
            try:
                extra = self.headers if self.sign_in == "header" else {}
                self.socket = await websockets.connect(f"ws{self.scheme}://{self.address}/ws", extra_headers=extra,
                                                       ssl=self.ssl)
                break
            except OSError as error:
                cause = error
        else:
            raise ConnectionError(f"no connection after {self.max_retries} attempts: {cause}")
        self.reader = asyncio.create_task(self._read())
        if self.credential is not None and self.sign_in == "call":
            try:
                answer = await self._call(
                    "authenticate", {self.spelling["token"]: self.credential, "auth_type": self.auth_type})
                if not answer or answer.get("authenticated") is not True:
                    raise AuthenticationError((answer or {}).get("error", "refused"))
            except AuthenticationError:
                await self.disconnect()
                raise

    async def disconnect(self):
        if self.socket is None:
            return
        self.on_lost = None
        await self.socket.close()
        await self.reader
        self.socket = None

    async def _read(self):
        try:
            async for text in self.socket:
                message = json.loads(text)
                if "id" in message and ("result" in message or "error" in message):
                    waiting = self.pending.pop(message["id"], None)
                    if waiting is not None and not waiting.done():
                        waiting.set_result(message)
                elif message.get("method") == "camera_status_update" and self.on_camera:
                    await self.on_camera(message["params"])
                elif message.get("method") == "recording_status_update" and self.on_recording:
                    await self.on_recording(message["params"])
        except websockets.ConnectionClosed:
            pass
        for waiting in self.pending.values():
            if not waiting.done():
                waiting.set_exception(ConnectionError("connection lost"))
        self.pending.clear()
        if self.on_lost:
            await self.on_lost()

    async def _call(self, method, params=None):
        call_id, self.next_id = self.next_id, self.next_id + 1
        waiting = self.pending[call_id] = asyncio.get_running_loop().create_future()
        await self.socket.send(json.dumps({"jsonrpc": "2.0", "id": call_id, "method": method, "params": params or {}}))
        message = await asyncio.wait_for(waiting, 30)
        error = message.get("error")
        if error is None:
            return message["result"]
        text = f"{error['message']} ({error['code']})"
        if error["code"] == -32001:
            raise AuthenticationError(text)
        if error["code"] == -32004:
            raise CameraNotFoundError(text)
        if -1099 <= error["code"] <= -1003:
            raise MediaMTXError(text)
        raise CameraServiceError(text)

    async def _media(self, method, params):
        """A command that answers {success, ...}; a refusal inside the answer becomes an exception."""
        answer = await self._call(method, params)
        if answer["success"] is not True:
            text = answer["error"]
            raise (CameraNotFoundError if "not found" in text.lower() else MediaMTXError)(text)
        return answer

    def _params(self, device_path, duration=None, custom_filename=None):
        params = {self.spelling["device"]: device_path}
        if duration is not None:
            params["duration"] = duration
        if custom_filename is not None:
            params[self.spelling["filename"]] = custom_filename
        return params

    @staticmethod
    def _camera(camera):
        return CameraInfo(camera["device_path"], camera["name"], camera["capabilities"], camera["status"],
                          camera.get("stream_url"))

    async def ping(self):
        return await self._call("ping")

    async def get_camera_list(self):
        return [self._camera(camera) for camera in (await self._call("get_camera_list"))["cameras"]]

    async def get_camera_status(self, device_path):
        camera = await self._call("get_camera_status", self._params(device_path))
        if not camera or camera["status"] == "UNKNOWN":
            raise CameraNotFoundError(device_path)
        return self._camera(camera)

    async def take_snapshot(self, device_path, custom_filename=None):
        return await self._media("take_snapshot", self._params(device_path, None, custom_filename))

    async def start_recording(self, device_path, duration=None, custom_filename=None):
        answer = await self._media("start_recording", self._params(device_path, duration, custom_filename))
        recording = answer["recording"]
        return RecordingInfo(recording["device_path"], recording["recording_id"], recording["filename"],
                             recording["start_time"], recording.get("duration"), recording["status"])

    async def stop_recording(self, device_path):
        return await self._media("stop_recording", self._params(device_path))

    async def list_recordings(self, limit=None, offset=None):
        return await self._list("list_recordings", limit, offset)

    async def list_snapshots(self, limit=None, offset=None):
        return await self._list("list_snapshots", limit, offset)

    async def _list(self, method, limit, offset):
        wanted = {"limit": limit, "offset": offset}
        return await self._call(method, {key: value for key, value in wanted.items() if value is not None})

    async def download_file(self, file_type, filename, local_path=None):
        path = local_path or filename
        await self._fetch(f"/files/{file_type}/{urllib.parse.quote(filename)}", path)
        return path

    async def _fetch(self, url_path, local_path):
        def fetch():
            request = urllib.request.Request(f"http{self.scheme}://{self.address}{url_path}", headers=self.headers)
            try:
                with urllib.request.urlopen(request, timeout=30, context=self.ssl) as answer, open(local_path, "wb") as file:
                    file.write(answer.read())
            except urllib.error.HTTPError as error:
                raise MediaMTXError(f"download failed with status {error.code}") from error

        await asyncio.get_running_loop().run_in_executor(None, fetch)


failed = 0


def check(what, holds, seen=""):
    global failed
    if not holds:
        failed += 1
    print(f"{'ok' if holds else 'FAIL'}: {what}" + (f" (saw {seen!r})" if not holds else ""), flush=True)


async def check_raises(what, kind, awaitable):
    try:
        seen = await awaitable
    except kind as error:
        check(f"{what}: {kind.__name__}: {error}", True)
    except Exception as error:  # any other failure is a finding, told in the same way
        check(f"{what}: {kind.__name__}", False, error)
    else:
        check(f"{what}: {kind.__name__}", False, seen)


class Seen:
    """Collects what a callback got; waits for the first that fits."""

    def __init__(self):
        self.items = []
        self.changed = asyncio.Condition()

    async def __call__(self, params=None):
        async with self.changed:
            self.items.append(params)
            self.changed.notify_all()

    async def first(self, fits=lambda item: True, seconds=30):
        def found():
            return next((item for item in self.items if fits(item)), None)

        async with self.changed:
            await asyncio.wait_for(self.changed.wait_for(lambda: any(fits(item) for item in self.items)), seconds)
        return found()


def is_number(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def is_text(value):
    return isinstance(value, str) and value != ""


def check_listing(what, listing, filename, size):
    files = listing["files"]
    check(f"{what}: total counts the files", listing["total"] == len(files) and len(files) > 0, listing)
    newest = files[0]
    check(f"{what}: newest first", newest["filename"] == filename, [file["filename"] for file in files])
    check(f"{what}: file_size", newest["file_size"] == size, newest["file_size"])
    check(f"{what}: modified_time", is_text(newest["modified_time"]), newest["modified_time"])
    check(f"{what}: download_url", newest["download_url"].startswith("/"), newest["download_url"])
    return newest


async def check_files(client, what, kind, newest, magic):
    folder = tempfile.mkdtemp()
    path = await client.download_file(kind, newest["filename"], os.path.join(folder, "by-name"))
    await client._fetch(newest["download_url"], os.path.join(folder, "by-url"))
    with open(path, "rb") as by_name, open(os.path.join(folder, "by-url"), "rb") as by_url:
        content = by_name.read()
        check(f"{what}: download has the listed size", len(content) == newest["file_size"], len(content))
        check(f"{what}: download is what it should be", magic(content), content[:12])
        check(f"{what}: download_url gives the same", by_url.read() == content)
    before = os.getcwd()
    os.chdir(folder)
    try:
        # Without a local path the guide's file lands where the program runs.
        path = await client.download_file(kind, newest["filename"])
        check(f"{what}: download goes to a file of the same name",
              path == newest["filename"] and os.path.getsize(os.path.join(folder, path)) == len(content), path)
    finally:
        os.chdir(before)
    for name in os.listdir(folder):
        os.remove(os.path.join(folder, name))
    os.rmdir(folder)


async def check_connecting(options, make):
    # Not the last letter: of a token it may hold bits that do not count.
    at = len(options.key) - 10
    wrong = make(options.key[:at] + ("B" if options.key[at] == "A" else "A") + options.key[at + 1:])
    if options.sign_in == "call":
        await check_raises("a wrong key", AuthenticationError, wrong.connect())
    else:
        await wrong.connect()
        await check_raises("a wrong key", AuthenticationError, wrong.get_camera_list())
        await wrong.disconnect()
    free = socket.socket()
    free.bind(("127.0.0.1", 0))
    port = free.getsockname()[1]
    free.close()
    nobody = CameraClient("127.0.0.1", port, max_retries=2, retry_delay=0.05)
    await check_raises("no service there", ConnectionError, nobody.connect())
    if options.ca is not None:
        stranger = CameraClient(options.host, options.port, use_ssl=True, max_retries=1)
        await check_raises("a certificate nobody vouches for", ConnectionError, stranger.connect())


async def check_camera(client):
    check("ping", await client.ping() == "pong")
    cameras = await client.get_camera_list()
    check("one camera is listed", len(cameras) == 1, cameras)
    camera = cameras[0]
    check("camera has a device_path and a name", is_text(camera.device_path) and is_text(camera.name), camera)
    check("camera is CONNECTED", camera.status == "CONNECTED", camera.status)
    check("capabilities are a list of texts",
          isinstance(camera.capabilities, list) and all(map(is_text, camera.capabilities)), camera.capabilities)
    check("stream_url is a text or nothing", camera.stream_url is None or is_text(camera.stream_url), camera.stream_url)
    status = await client.get_camera_status(camera.device_path)
    check("status is that of the list", (status.status, status.name) == (camera.status, camera.name), status)
    check("status has capabilities", bool(status.capabilities), status.capabilities)
    return camera


async def check_snapshots(client, device):
    taken = await client.take_snapshot(device)
    check("snapshot has a filename", is_text(taken["filename"]), taken["filename"])
    check("snapshot has a file_size", is_number(taken["file_size"]) and taken["file_size"] > 0, taken["file_size"])
    named = await client.take_snapshot(device, f"still_{os.getpid()}.jpg")
    check("snapshot takes the custom name", named["filename"] == f"still_{os.getpid()}.jpg", named["filename"])
    several = await asyncio.gather(*(client.take_snapshot(device) for _ in range(3)))
    check("parallel snapshots are different files", len({one["filename"] for one in several}) == 3, several)
    last = await client.take_snapshot(device)
    newest = check_listing("snapshots", await client.list_snapshots(limit=100, offset=0), last["filename"],
                           last["file_size"])
    page = await client.list_snapshots(limit=2, offset=1)
    check("a page of snapshots", len(page["files"]) == 2 and page["total"] > 2
          and page["files"][0]["filename"] != newest["filename"], page)
    await check_files(client, "snapshot", "snapshots", newest, lambda data: data[:2] == b"\xff\xd8" and data[-2:] == b"\xff\xd9")


async def check_recordings(client, device, told):
    name = f"my_recording_{os.getpid()}.mp4"
    recording = await client.start_recording(device_path=device, duration=2, custom_filename=name)
    check("timed recording takes the custom name", recording.filename == name, recording.filename)
    check("recording has an id and its camera", is_text(recording.recording_id) and recording.device_path == device, recording)
    check("start_time is seconds", is_number(recording.start_time) and recording.start_time > 1.6e9, recording.start_time)
    check("status of a started recording is active", recording.status == "active", recording.status)
    check("duration is the one asked for", recording.duration == 2, recording.duration)
    await told.first(lambda p: p["recording"]["filename"] == name and p["recording"]["status"] == "active")
    check("callback: recording active", True)
    await check_raises("a second recording of the camera", MediaMTXError, client.start_recording(device))
    await told.first(lambda p: p["recording"]["filename"] == name and p["recording"]["status"] == "completed")
    check("callback: recording completed by its duration", True)

    started = await client.start_recording(device)
    await told.first(lambda p: p["recording"]["filename"] == started.filename and p["recording"]["status"] == "active")
    await asyncio.sleep(0.5)  # so that there is something in it
    stopped = await client.stop_recording(device)
    check("stop names the recording", stopped["filename"] == started.filename, stopped["filename"])
    check("duration is a number of seconds", is_number(stopped["duration"]) and stopped["duration"] > 0, stopped["duration"])
    await told.first(lambda p: p["recording"]["filename"] == started.filename and p["recording"]["status"] == "completed")
    check("callback: recording completed", True)
    await check_raises("stop without a recording", MediaMTXError, client.stop_recording(device))
    long = await asyncio.wait_for(client.start_recording(device, duration=300), timeout=60)
    check("a long recording starts within the caller's time", is_text(long.filename) and long.duration == 300, long)
    ended = await client.stop_recording(device)
    check("a timed recording may be stopped before its time", ended["filename"] == long.filename, ended)

    listing = await client.list_recordings(limit=10, offset=0)
    newest = check_listing("recordings", listing, ended["filename"], ended["file_size"])
    check("every recording is listed", started.filename in [file["filename"] for file in listing["files"]], listing)
    few = await client.list_recordings(limit=1)
    check("a page of recordings", [file["filename"] for file in few["files"]] == [newest["filename"]]
          and few["total"] == listing["total"], few)
    check("timed recording is listed", name in [file["filename"] for file in listing["files"]], listing)
    await check_files(client, "recording", "recordings", newest, lambda data: data[4:8] == b"ftyp")


async def check_failures(client, absent="/dev/video77"):
    await check_raises("status of an unknown camera", CameraNotFoundError, client.get_camera_status(absent))
    await check_raises("snapshot of an unknown camera", CameraNotFoundError, client.take_snapshot(absent))
    await check_raises("recording of an unknown camera", CameraNotFoundError, client.start_recording(absent))
    await check_raises("stop of an unknown camera", CameraNotFoundError, client.stop_recording(absent))
    await check_raises("download of a missing file", MediaMTXError,
                       client.download_file("recordings", "no-such-file.mp4", os.devnull))


async def check_reconnecting(client, lost):
    """The guide's handler of a lost connection connects again, from inside the callback."""
    again = Seen()

    async def on_connection_lost():
        await lost()
        await client.connect()
        await again()

    client.set_connection_lost_callback(on_connection_lost)
    await again.first(seconds=60)
    check("callback: connected again", len(lost.items) == 1 and await client.ping() == "pong", lost.items)
    check("after that the cameras are there", len(await client.get_camera_list()) == 1)


async def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--host", default="localhost")
    parser.add_argument("--port", type=int, default=8080)
    parser.add_argument("--auth-type", choices=["jwt", "api_key"], default="api_key")
    parser.add_argument("--key", required=True)
    parser.add_argument("--names", choices=list(SPELLINGS), default="guide")
    parser.add_argument("--sign-in", choices=["call", "header"], default="call")
    parser.add_argument("--ca")
    parser.add_argument("--wait-for-loss", action="store_true")
    parser.add_argument("--reconnect", action="store_true")
    parser.add_argument("--expect-name")
    options = parser.parse_args()

    def make(key, **more):
        return CameraClient(options.host, options.port, use_ssl=options.ca is not None, auth_type=options.auth_type,
                            auth_token=key, api_key=key, names=options.names, sign_in=options.sign_in, ca=options.ca,
                            **more)

    await check_connecting(options, make)
    client = make(options.key, max_retries=300, retry_delay=0.1)
    told_camera, told_recording, lost = Seen(), Seen(), Seen()
    client.set_camera_status_callback(told_camera)
    client.set_recording_status_callback(told_recording)
    client.set_connection_lost_callback(lost)
    await client.connect()
    check("connected", True)
    if options.sign_in == "header":
        update = (await told_camera.first())["camera"]
        check("callback: a client that only listens is told of the camera",
              is_text(update["name"]) and update["status"] == "CONNECTED", update)
    camera = await check_camera(client)
    if options.expect_name is not None:
        print("waiting for the camera to be named", flush=True)
        changed = (await told_camera.first(lambda p: p["camera"]["name"] == options.expect_name))["camera"]
        check("callback: a camera changed", changed["status"] == "CONNECTED"
              and changed["device_path"] == camera.device_path, changed)
        listed = (await client.get_camera_list())[0]
        check("the list has the new name", listed.name == options.expect_name, listed)
    await check_snapshots(client, camera.device_path)
    await check_recordings(client, camera.device_path, told_recording)
    await check_failures(client)
    check("every notification of a camera has its name and status",
          (options.expect_name is None or told_camera.items != []) and all(is_text(p["camera"]["name"]) and is_text(p["camera"]["status"]) for p in told_camera.items), told_camera.items)

    other = make(options.key)
    never = Seen()
    other.set_connection_lost_callback(never)
    await other.connect()
    await other.disconnect()
    check("disconnect is no lost connection", never.items == [], never.items)
    check("the first connection goes on", await client.ping() == "pong" and lost.items == [])
    if options.wait_for_loss:
        print("waiting for the end of the service", flush=True)
        if options.reconnect:
            await check_reconnecting(client, lost)
        else:
            await lost.first()
            check("callback: connection lost", len(lost.items) == 1, lost.items)
            await check_raises("a client of a service that has ended", ConnectionError,
                               make(options.key, max_retries=1).connect())
    await client.disconnect()


try:
    asyncio.run(main())
except Exception as error:  # an answer that lacks a field, a time-out: a failed check like any other
    check("no unexpected failure", False, error)
    import traceback

    traceback.print_exc()
sys.exit(1 if failed else 0)
