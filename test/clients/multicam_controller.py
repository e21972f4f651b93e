#!/usr/bin/env python3
"""A MultiCam controller written from seed 001 (the README of multicam-common for Python, version 1.0) alone.

`send_command` and `download_video` are that page's snippets; the classes above them are what its API reference says of
`multicam_common`. Standard library only. It knows nothing of Ocelli: what it cannot do, a controller in the field cannot.

Reads one JSON request a line from its input, and answers each with one line. Requests:
  {"do": "send", "command": "START_RECORDING", "timestamp": 1729000000.5, "fileId": "..."}
  {"do": "list"}
  {"do": "download", "fileId": "...", "path": "..."}
An exception is answered as {"error": "<class>: <words>"}.
"""
import json
import socket
import struct
import sys
import time
from dataclasses import asdict, dataclass
from enum import Enum
from typing import List, Optional


class CommandType(Enum):
    START_RECORDING = "START_RECORDING"
    STOP_RECORDING = "STOP_RECORDING"
    DEVICE_STATUS = "DEVICE_STATUS"
    GET_VIDEO = "GET_VIDEO"
    HEARTBEAT = "HEARTBEAT"
    LIST_FILES = "LIST_FILES"


class DeviceStatus(Enum):
    READY = "ready"
    RECORDING = "recording"
    STOPPING = "stopping"
    ERROR = "error"
    SCHEDULED_RECORDING_ACCEPTED = "scheduled_recording_accepted"
    RECORDING_STOPPED = "recording_stopped"
    COMMAND_RECEIVED = "command_received"
    TIME_NOT_SYNCHRONIZED = "time_not_synchronized"
    FILE_NOT_FOUND = "file_not_found"

    @classmethod
    def is_error(cls, status: str) -> bool:
        return status in (cls.ERROR.value, cls.TIME_NOT_SYNCHRONIZED.value, cls.FILE_NOT_FOUND.value)

    @classmethod
    def is_success(cls, status: str) -> bool:
        return status in [one.value for one in cls] and not cls.is_error(status)


@dataclass
class CommandMessage:
    command: CommandType
    timestamp: float
    deviceId: str = "controller"
    fileId: Optional[str] = None

    def to_json(self) -> str:
        return json.dumps(
            {
                "command": self.command.value,
                "timestamp": self.timestamp,
                "deviceId": self.deviceId,
                "fileId": self.fileId,
            }
        )

    def to_bytes(self) -> bytes:
        return self.to_json().encode("utf-8")

    @staticmethod
    def get_video(file_id: str) -> "CommandMessage":
        return CommandMessage(CommandType.GET_VIDEO, time.time(), fileId=file_id)


@dataclass
class StatusResponse:
    deviceId: str
    status: str
    timestamp: float
    isRecording: bool
    message: Optional[str] = None
    fileId: Optional[str] = None
    fileSize: Optional[int] = None

    @staticmethod
    def from_json(text: str) -> "StatusResponse":
        data = json.loads(text)
        reply = StatusResponse(
            deviceId=data["deviceId"],
            status=data["status"],
            timestamp=data["timestamp"],
            isRecording=data["isRecording"],
            message=data.get("message"),
            fileId=data.get("fileId"),
            fileSize=data.get("fileSize"),
        )
        # The types the reference gives; a language that checks them would fail on others.
        if not isinstance(reply.isRecording, bool) or not isinstance(reply.timestamp, (int, float)):
            raise TypeError("a StatusResponse with a wrong type")
        if reply.fileSize is not None and not isinstance(reply.fileSize, int):
            raise TypeError("fileSize is not an int")
        return reply


@dataclass
class FileResponse:
    deviceId: str
    fileId: str
    fileName: str
    fileSize: int
    status: str

    @staticmethod
    def from_json(text: str) -> "FileResponse":
        data = json.loads(text)
        return FileResponse(data["deviceId"], data["fileId"], data["fileName"], data["fileSize"], data["status"])


@dataclass
class FileMetadata:
    fileId: str
    fileName: str
    fileSize: int
    creationDate: float
    modificationDate: float


@dataclass
class ListFilesResponse:
    deviceId: str
    status: str
    timestamp: float
    files: List[FileMetadata]

    @staticmethod
    def from_json(text: str) -> "ListFilesResponse":
        data = json.loads(text)
        files = [
            FileMetadata(
                one["fileId"], one["fileName"], one["fileSize"], one["creationDate"], one["modificationDate"]
            )
            for one in data["files"]
        ]
        return ListFilesResponse(data["deviceId"], data["status"], data["timestamp"], files)


def exchange(device_ip: str, port: int, command: CommandMessage) -> str:
    """The seed's snippet up to the parsing: connect, sendall, one recv(4096)."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as sock:
        sock.settimeout(60.0)
        sock.connect((device_ip, port))

        # Send command
        sock.sendall(command.to_bytes())

        # Receive response
        response_data = sock.recv(4096)
        return response_data.decode("utf-8")


def send_command(device_ip: str, port: int, command: CommandMessage) -> StatusResponse:
    return StatusResponse.from_json(exchange(device_ip, port, command))


def download_video(device_ip: str, port: int, file_id: str, output_path: str) -> FileResponse:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as sock:
        # The seed sets no limit here; a test that hangs would say nothing.
        sock.settimeout(60.0)
        sock.connect((device_ip, port))

        # Send GET_VIDEO command
        cmd = CommandMessage.get_video(file_id)
        sock.sendall(cmd.to_bytes())

        # Read header size (4 bytes, big-endian)
        header_size_bytes = sock.recv(4)
        header_size = struct.unpack(">I", header_size_bytes)[0]

        # Read JSON header
        header_json = sock.recv(header_size).decode("utf-8")
        file_response = FileResponse.from_json(header_json)

        # Read binary file data
        with open(output_path, "wb") as f:
            remaining = file_response.fileSize
            while remaining > 0:
                chunk = sock.recv(min(8192, remaining))
                if not chunk:
                    raise ConnectionError("Connection closed prematurely")
                f.write(chunk)
                remaining -= len(chunk)
        return file_response


def perform(host: str, port: int, request: dict) -> dict:
    if request["do"] == "download":
        return asdict(download_video(host, port, request["fileId"], request["path"]))
    if request["do"] == "list":
        text = exchange(host, port, CommandMessage(CommandType.LIST_FILES, time.time()))
        return asdict(ListFilesResponse.from_json(text))
    command = CommandMessage(
        CommandType[request["command"]], request.get("timestamp") or time.time(), fileId=request.get("fileId")
    )
    reply = send_command(host, port, command)
    return {**asdict(reply), "success": DeviceStatus.is_success(reply.status)}


def main() -> None:
    host, port = sys.argv[1], int(sys.argv[2])
    for line in sys.stdin:
        try:
            answer = perform(host, port, json.loads(line))
        except Exception as error:  # pylint: disable=broad-except
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
