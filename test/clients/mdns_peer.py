#!/usr/bin/env python3
"""mDNS (RFC 6762/6763) for tests, of other make than Ocelli: packets by hand, standard library only.

  mdns_peer.py ADDRESS browse              asks for _multicam._tcp.local and prints what answers
  mdns_peer.py ADDRESS announce JSON [N]   answers as devices: [{"name", "port", "address", "txt": ["..."]}], but not the
                                           first N questions

ADDRESS is that of the interface. Meant for a network namespace of its own. Prints {"ready": true}, then for browse one JSON
object for each record: {"type", "name", "ttl", ...}. A line on its input asks again; it ends with its input.
"""
import json
import os
import random
import socket
import struct
import sys
import threading
import time

GROUP, PORT = "224.0.0.251", 5353
TYPE = "_multicam._tcp.local"
A, PTR, TXT, SRV = 1, 12, 16, 33
NAMES = {A: "A", PTR: "PTR", TXT: "TXT", SRV: "SRV"}


def tell(**facts):
    sys.stdout.write(json.dumps(facts) + "\n")
    sys.stdout.flush()


def pack(name):
    return b"".join(bytes([len(part)]) + part for part in (p.encode() for p in name.split("."))) + b"\0"


def read_name(data, at):
    parts, end = [], None
    while data[at]:
        if data[at] & 0xC0:
            end = end or at + 2
            at = struct.unpack_from(">H", data, at)[0] & 0x3FFF
            continue
        parts.append(data[at + 1 : at + 1 + data[at]].decode())
        at += 1 + data[at]
    return ".".join(parts), end or at + 1


def read(data):
    """Questions as (name, type), records as dictionaries."""
    _, flags, questions, answers, authority, additional = struct.unpack_from(">6H", data)
    at, asked, records = 12, [], []
    for _ in range(questions):
        name, at = read_name(data, at)
        kind, _ = struct.unpack_from(">HH", data, at)
        at += 4
        asked.append((name, kind))
    for _ in range(answers + authority + additional):
        name, at = read_name(data, at)
        kind, _, ttl, length = struct.unpack_from(">HHIH", data, at)
        at += 10
        record = {"type": NAMES.get(kind, str(kind)), "name": name, "ttl": ttl}
        if kind == A:
            record["address"] = socket.inet_ntoa(data[at : at + 4])
        elif kind == PTR:
            record["target"], _ = read_name(data, at)
        elif kind == SRV:
            record["port"] = struct.unpack_from(">H", data, at + 4)[0]
            record["target"], _ = read_name(data, at + 6)
        elif kind == TXT:
            record["strings"], where = [], at
            while where < at + length:
                record["strings"].append(data[where + 1 : where + 1 + data[where]].decode())
                where += 1 + data[where]
        at += length
        records.append(record)
    return bool(flags & 0x8000), asked, records


def record(name, kind, ttl, body):
    return pack(name) + struct.pack(">HHIH", kind, 1, ttl, len(body)) + body


def answer_for(devices):
    records = []
    for device in devices:
        instance = f"{device['name']}.{TYPE}"
        host = device["name"].replace(" ", "-") + ".local"
        txt = b"".join(bytes([len(s.encode())]) + s.encode() for s in device.get("txt", [])) or b"\0"
        records += [
            record(TYPE, PTR, 120, pack(instance)),
            record(instance, SRV, 120, struct.pack(">HHH", 0, 0, device["port"]) + pack(host)),
            record(instance, TXT, 120, txt),
            record(host, A, 120, socket.inet_aton(device["address"])),
        ]
    return struct.pack(">6H", 0, 0x8400, 0, len(records), 0, 0) + b"".join(records)


interface, mode = sys.argv[1], sys.argv[2]
devices = json.loads(sys.argv[3]) if mode == "announce" else []
unheard = int(sys.argv[4]) if len(sys.argv) > 4 else 0
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
sock.bind(("", PORT))
sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, socket.inet_aton(GROUP) + socket.inet_aton(interface))
sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(interface))
sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 255)
# IP_MULTICAST_ALL of linux/in.h: only what comes from this interface, not from those of other programs here.
sock.setsockopt(socket.IPPROTO_IP, 49, 0)


def ask():
    sock.sendto(struct.pack(">6H", 0, 0, 1, 0, 0, 0) + pack(TYPE) + struct.pack(">HH", PTR, 1), (GROUP, PORT))


def answer():
    """Each device by itself, 20 to 120 ms later, as RFC 6762 (section 6) wants it of records that many have."""
    time.sleep(0.02)
    for one in random.sample(devices, len(devices)):
        time.sleep(0.1 / len(devices))
        sock.sendto(answer_for([one]), (GROUP, PORT))


def obey():
    for _ in sys.stdin:
        ask()
    os._exit(0)


threading.Thread(target=obey, daemon=True).start()
tell(ready=True)
while True:
    data, peer = sock.recvfrom(9000)
    is_response, asked, records = read(data)
    if mode == "browse" and is_response:
        for one in records:
            tell(**one)
    if mode == "announce" and not is_response and any(name.lower() == TYPE for name, _ in asked):
        if unheard > 0:
            unheard -= 1
        else:
            answer()
