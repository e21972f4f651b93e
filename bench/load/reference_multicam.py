"""A MultiCam controller on asyncio and nothing else: looks for COUNT devices by mDNS on the interface of ADDRESS, then
starts all of them at once. For each line on its input it says {"lookedMs", "foundMs", "beganMs", "accepted"}, epoch ms.

  reference_multicam.py ADDRESS COUNT
"""
import asyncio
import json
import socket
import struct
import sys
import time

GROUP, PORT, TYPE = "224.0.0.251", 5353, "_multicam._tcp.local"
address, count = sys.argv[1], int(sys.argv[2])


def now_ms():
    return time.time() * 1000


def name_at(data, at):
    parts, end = [], None
    while data[at]:
        if data[at] & 0xC0:
            end = end or at + 2
            at = struct.unpack_from(">H", data, at)[0] & 0x3FFF
            continue
        parts.append(data[at + 1 : at + 1 + data[at]].decode())
        at += 1 + data[at]
    return ".".join(parts), end or at + 1


def records_of(data):
    _, _, questions, *counts = struct.unpack_from(">6H", data)
    at = 12
    for _ in range(questions):
        at = name_at(data, at)[1] + 4
    for _ in range(sum(counts)):
        name, at = name_at(data, at)
        kind, _, _, length = struct.unpack_from(">HHIH", data, at)
        yield name, kind, data, at + 10
        at += 10 + length


class Look(asyncio.DatagramProtocol):
    def __init__(self):
        self.places, self.hosts = {}, {}
        self.found = asyncio.get_running_loop().create_future()

    def datagram_received(self, data, _):
        for name, kind, data, at in records_of(data):
            if kind == 1:
                self.hosts[name] = socket.inet_ntoa(data[at : at + 4])
            elif kind == 33 and name.endswith(TYPE):
                self.places[name] = (name_at(data, at + 6)[0], struct.unpack_from(">H", data, at + 4)[0])
        known = [(self.hosts[host], port) for host, port in self.places.values() if host in self.hosts]
        if len(known) == count and not self.found.done():
            self.found.set_result(known)


async def start(host, port, at):
    reader, writer = await asyncio.open_connection(host, port)
    writer.write(json.dumps({"command": "START_RECORDING", "timestamp": at, "deviceId": "controller"}).encode())
    reply = json.loads(await reader.read(65536))
    writer.close()
    return reply["status"] == "scheduled_recording_accepted"


async def play():
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2**20)
    looked = now_ms()
    sock.bind(("", PORT))
    member = socket.inet_aton(GROUP) + socket.inet_aton(address)
    sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, member)
    sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(address))
    transport, look = await asyncio.get_running_loop().create_datagram_endpoint(Look, sock=sock)
    question = b"".join(bytes([len(p)]) + p.encode() for p in TYPE.split(".")) + b"\0" + struct.pack(">HH", 12, 1)
    transport.sendto(struct.pack(">6H", 0, 0, 1, 0, 0, 0) + question, (GROUP, PORT))
    known = await asyncio.wait_for(look.found, 30)
    found = now_ms()
    transport.close()
    began = now_ms()
    accepted = sum(await asyncio.gather(*(start(host, port, time.time() + 3) for host, port in known)))
    print(json.dumps({"lookedMs": looked, "foundMs": found, "beganMs": began, "accepted": accepted}), flush=True)


print("{}", flush=True)
for _ in sys.stdin:
    asyncio.run(play())
