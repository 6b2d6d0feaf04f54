# Another implementation to talk to. `server`: an echo server, prints its port. `client URL`: runs a
# conversation through URL and prints what it saw as one JSON line.
import asyncio
import json
import sys

import websockets


async def serve():
    async def echo(socket, path):
        if path == "/bye":
            await socket.close(4001, "python says bye")
            return
        async for message in socket:
            await socket.send(message)

    async with websockets.serve(
        echo, "127.0.0.1", 0, subprotocols=["chat.v2"], max_size=2**26, max_queue=4
    ) as server:
        print(server.sockets[0].getsockname()[1], flush=True)
        await asyncio.Future()


async def talk(url):
    seen = {}
    async with websockets.connect(
        url + "/echo", subprotocols=["chat.v1", "chat.v2"], max_size=2**26
    ) as socket:
        seen["protocol"] = socket.subprotocol
        seen["extensions"] = len(socket.extensions)
        await socket.send("text é")
        seen["text"] = await socket.recv()
        await socket.send(b"\x00\xff")
        seen["binary"] = list(await socket.recv())
        await socket.send(["frag", "men", "ted"])
        seen["fragments"] = await socket.recv()
        await socket.send(b"x" * 5_000_000)
        seen["big"] = len(await socket.recv())
        pong = await socket.ping(b"payload")
        await asyncio.wait_for(pong, 5)
        seen["pong"] = True
    seen["clean"] = socket.close_code
    async with websockets.connect(url + "/bye") as socket:
        try:
            await socket.recv()
        except websockets.ConnectionClosed as closed:
            seen["bye"] = [closed.code, closed.reason]
    print(json.dumps(seen), flush=True)


asyncio.run(serve() if sys.argv[1] == "server" else talk(sys.argv[2]))
