#!/usr/bin/env python3
"""A time server for tests, of other make than Ocelli: RFC 5905's 48-byte packet, standard library only.

Answers with this machine's clock plus --skew seconds. Modes: answer, silent, unsynchronised (says that its own clock is
not), refuse (kiss of death). Another mode or skew may come as one JSON object a line: {"mode": "silent"}.
Writes {"port": N} first, then {"asked": <count>} for each question.
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
parser.add_argument("--skew", type=float, default=0.0)
parser.add_argument("--dispersion", type=float, default=0.001, help="error the server claims, seconds")
parser.add_argument("--mode", choices=("answer", "silent", "unsynchronised", "refuse"), default="answer")
options = parser.parse_args()


def tell(**facts):
    sys.stdout.write(json.dumps(facts) + "\n")
    sys.stdout.flush()


def obey():
    for line in sys.stdin:
        for name, value in json.loads(line).items():
            setattr(options, name, value)
    os._exit(0)


def ntp(seconds):
    since_1900 = seconds + 2208988800
    whole = int(since_1900)
    return struct.pack(">II", whole & 0xFFFFFFFF, int((since_1900 - whole) * 2**32))


threading.Thread(target=obey, daemon=True).start()
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.bind(("127.0.0.1", 0))
tell(port=sock.getsockname()[1])
asked = 0
while True:
    question, peer = sock.recvfrom(512)
    received = time.time() + options.skew
    asked += 1
    if len(question) >= 48 and options.mode != "silent":
        leap, stratum, name = {"answer": (0, 2, b"TEST"), "unsynchronised": (3, 16, b"INIT"), "refuse": (3, 0, b"RATE")}[
            options.mode
        ]
        version = (question[0] >> 3) & 7
        head = struct.pack(">BBbb", leap << 6 | version << 3 | 4, stratum, 6, -20)
        error = struct.pack(">II", 0, int(options.dispersion * 65536)) + name
        sock.sendto(
            head + error + ntp(received - 10) + question[40:48] + ntp(received) + ntp(time.time() + options.skew), peer
        )
    tell(asked=asked)
