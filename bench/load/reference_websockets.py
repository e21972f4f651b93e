"""A minimal server on websockets and uvloop: whatever comes is answered with the bytes of ANSWER."""
import asyncio
import logging
import os

import uvloop
import websockets

answer = os.environ["ANSWER"]


async def converse(socket, _path=None):
    async for _message in socket:
        await socket.send(answer)


async def main():
    asyncio.get_running_loop().add_reader(0, os._exit, 0)
    async with websockets.serve(
        converse, "127.0.0.1", 0, compression=None, ping_interval=None, backlog=511
    ) as server:
        print(f"port {server.sockets[0].getsockname()[1]}", flush=True)
        await asyncio.Future()


# What is said of clients that go is not of interest.
logging.disable(logging.CRITICAL)
uvloop.install()
asyncio.run(main())
