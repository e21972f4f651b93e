#!/usr/bin/python3
"""A test client of the older hotplug server, written from that server's README alone. Needs python3-websockets.

Full run: ping, invalid method, malformed JSON, invalid requests, camera notifications; what the README prints is what is
expected. --simple: ping alone. --monitor --duration N: prints the notifications of N seconds.
The server of that README knows no keys, so none is sent.

Prints one line per check, "ok: ..." or "FAIL: ...". Exits 1 when one failed.
"""
import argparse
import asyncio
import json
import re
import statistics
import sys
import time

import websockets

failed = 0


def check(what, holds, seen=""):
    global failed
    if not holds:
        failed += 1
    print(f"{'ok' if holds else 'FAIL'}: {what}" + (f" (saw {seen!r})" if not holds else ""), flush=True)


def device_name(text):
    """The README's servers know nodes only; a camera without a node has a name of its own."""
    return isinstance(text, str) and text != "" and text == text.strip()


async def exchange(uri, text):
    """As the README's client does: connect, send, and take the first message as the answer."""
    async with websockets.connect(uri) as socket:
        await socket.send(text)
        answer = json.loads(await asyncio.wait_for(socket.recv(), 10))
        # The connection must have survived.
        await socket.send(json.dumps({"jsonrpc": "2.0", "method": "ping", "id": "after"}))
        after = json.loads(await asyncio.wait_for(socket.recv(), 10))
        check("  connection goes on", after == {"jsonrpc": "2.0", "result": "pong", "id": "after"}, after)
        return answer


async def check_ping(uri):
    async with websockets.connect(uri) as socket:
        times = []
        for number in range(1, 21):
            before = time.perf_counter()
            await socket.send(json.dumps({"jsonrpc": "2.0", "method": "ping", "id": number}))
            answer = json.loads(await asyncio.wait_for(socket.recv(), 10))
            times.append((time.perf_counter() - before) * 1000)
            if answer != {"jsonrpc": "2.0", "result": "pong", "id": number}:
                check("ping answers pong", False, answer)
                return
        check("ping answers pong, and nothing else", True)
        median = statistics.median(times)
        check(f"ping: median {median:.2f} ms is within 50 ms", median < 50, median)


async def check_errors(uri):
    answer = await exchange(uri, json.dumps({"jsonrpc": "2.0", "method": "invalid_method", "id": 2}))
    error = answer["error"]
    check("invalid method: -32601", error["code"] == -32601, error)
    check("invalid method: text", error["message"] == "Method not found: invalid_method", error)
    check("invalid method: id, no result", answer["id"] == 2 and "result" not in answer, answer)

    answer = await exchange(uri, '{"jsonrpc": "2.0", "method": "ping", "id": ')
    error = answer["error"]
    check("malformed JSON: -32700", error["code"] == -32700, error)
    check("malformed JSON: text", error["message"] == "Parse error", error)
    check("malformed JSON: id is null", answer["id"] is None and "result" not in answer, answer)

    for what, request in [
        ("no method", {"jsonrpc": "2.0", "id": 3}),
        ("no version", {"method": "ping", "id": 3}),
        ("wrong version", {"jsonrpc": "1.0", "method": "ping", "id": 3}),
    ]:
        answer = await exchange(uri, json.dumps(request))
        check(f"{what}: -32600", answer["error"]["code"] == -32600 and answer["id"] == 3, answer)
    answer = await exchange(uri, '"text"')
    check("no object: -32600", answer["error"]["code"] == -32600, answer)


def check_update(message):
    check("notification: a JSON-RPC notification", message["jsonrpc"] == "2.0" and "id" not in message, message)
    params = message["params"]
    check("notification: device", device_name(params["device"]), params["device"])
    check("notification: CONNECTED or DISCONNECTED", params["status"] in ("CONNECTED", "DISCONNECTED"), params["status"])
    if params["status"] == "CONNECTED":
        check("notification: resolution is WIDTHxHEIGHT",
              re.fullmatch(r"[1-9]\d*x[1-9]\d*", params["resolution"]) is not None, params["resolution"])
        check("notification: fps is a whole number", type(params["fps"]) is int and params["fps"] > 0, params["fps"])
    else:
        check("notification: no mode while DISCONNECTED", "resolution" not in params and "fps" not in params, params)


async def next_update(socket, seconds=15):
    while True:
        message = json.loads(await asyncio.wait_for(socket.recv(), seconds))
        if message.get("method") == "camera_status_update":
            return message


async def check_notifications(uri):
    """Every client that connects is told, without asking for it."""
    sockets = [await websockets.connect(uri) for _ in range(3)]
    updates = await asyncio.gather(*(next_update(socket) for socket in sockets))
    check_update(updates[0])
    told = {json.dumps([u["params"].get(key) for key in ("device", "status", "resolution", "fps")]) for u in updates}
    check("notification: every client is told the same", len(told) == 1, told)
    await asyncio.gather(*(socket.close() for socket in sockets))


async def monitor(uri, seconds):
    async with websockets.connect(uri) as socket:
        end = time.monotonic() + seconds
        count = 0
        while (left := end - time.monotonic()) > 0:
            try:
                message = await next_update(socket, left)
            except asyncio.TimeoutError:
                break
            count += 1
            params = message["params"]
            mode = f" {params['resolution']} {params['fps']}" if params["status"] == "CONNECTED" else ""
            print(f"{params['device']} -> {params['status']}{mode}", flush=True)
            check_update(message)
        check(f"{count} notifications in {seconds} s", count > 0)


async def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--uri", default="ws://127.0.0.1:8002/ws")
    parser.add_argument("--simple", action="store_true")
    parser.add_argument("--monitor", action="store_true")
    parser.add_argument("--duration", type=float, default=15)
    options = parser.parse_args()
    if options.monitor:
        await monitor(options.uri, options.duration)
        return
    await check_ping(options.uri)
    if not options.simple:
        await check_errors(options.uri)
        await check_notifications(options.uri)


try:
    asyncio.run(main())
except Exception as error:  # an answer that lacks a field, a time-out: a failed check like any other
    check(f"no unexpected failure: {type(error).__name__}", False, error)
sys.exit(1 if failed else 0)
