# Plays the cases of a WebSocket conformance suite and tells what came back. The frames are written byte by byte as the
# case says; what the other end answers is read by the sans-I/O protocol of the websockets package.
# `ask`: as a client, against servers. `answer`: as a service, against clients that echo; prints its port first.
# `flood`: a client that sends pings without an end and reads nothing. `echo`: is a client that echoes. `serve`: is a server that echoes; prints its port. Cases come as JSON on standard input.
import asyncio
import base64
import hashlib
import json
import select
import socket
import ssl
import struct
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import quote, unquote

import websockets
from websockets.client import ClientConnection
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory
from websockets.frames import Frame, Opcode
from websockets.server import ServerConnection
from websockets.uri import parse_uri

PATIENCE_S = 20
MAX_BYTES = 2**26
LONG = 200
UNCHECKED = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
UNCHECKED.check_hostname = False
UNCHECKED.verify_mode = ssl.CERT_NONE
MASK = b"\x37\xfa\x21\x3d"


class Wire:
    """A connection whose failed writes take nothing away from what was received before."""

    def __init__(self, plain, secure):
        self.plain = plain
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        plain.setblocking(False)
        self.end = None
        self.tls = None
        if secure:
            self.inward, self.outward = ssl.MemoryBIO(), ssl.MemoryBIO()
            self.tls = UNCHECKED.wrap_bio(self.inward, self.outward)
            while True:
                try:
                    self.tls.do_handshake()
                    self._flush()
                    break
                except ssl.SSLWantReadError:
                    self._flush()
                    self.inward.write(self._receive(time.monotonic() + PATIENCE_S))

    def _flush(self):
        if self.outward.pending:
            self._send(self.outward.read())

    def _send(self, data):
        view = memoryview(data)
        until = time.monotonic() + PATIENCE_S
        while view and time.monotonic() < until:
            try:
                view = view[self.plain.send(view) :]
            except BlockingIOError:
                select.select([], [self.plain], [], 1)
            except OSError:
                return

    def send(self, data):
        if self.tls is None:
            self._send(data)
        else:
            self.tls.write(data)
            self._flush()

    def _receive(self, until):
        while True:
            try:
                data = self.plain.recv(2**16)
            except BlockingIOError:
                left = until - time.monotonic()
                if left <= 0 or not select.select([self.plain], [], [], left)[0]:
                    self.end = "timeout"
                    return b""
                continue
            except OSError:
                data = b""
            if not data:
                self.end = "closed"
            return data

    def receive(self, within=PATIENCE_S):
        """Some bytes; none: see `end`."""
        until = time.monotonic() + within
        while True:
            if self.tls is not None:
                try:
                    data = self.tls.read(2**16)
                    if data:
                        return data
                    self.end = "closed"
                    return b""
                except ssl.SSLWantReadError:
                    pass
            data = self._receive(until)
            if self.tls is None or not data:
                return data
            self.inward.write(data)


def told(binary, data):
    if len(data) > LONG:
        shown = f"{len(data)} bytes, {hashlib.sha256(data).hexdigest()[:16]}"
    else:
        shown = data.hex() if binary else data.decode()
    return f"{'binary' if binary else 'text'}: {shown}"


class Play:
    """One case on one connection."""

    def __init__(self, connection, wire, masked):
        self.connection = connection
        self.wire = wire
        self.masked = masked
        self.messages, self.pings, self.pongs = [], [], []
        self.message = None
        self.close = None
        self.closing = False
        self.violation = None
        self.survived = 0

    def read(self, within=PATIENCE_S):
        data = self.wire.receive(within)
        if data:
            self.connection.receive_data(data)
            self.take(self.connection.events_received())
        self.reply()
        error = self.connection.parser_exc
        if error is not None and self.violation is None:
            self.violation = f"{type(error).__name__}: {error}"

    def reply(self):
        # Who has begun to close by itself does not answer a close once more.
        for data in self.connection.data_to_send():
            if data and not self.closing:
                self.wire.send(data)

    def take(self, events):
        for event in events:
            if not isinstance(event, Frame):
                continue
            op = event.opcode
            if op is Opcode.PONG:
                self.pongs.append(event.data.hex())
            elif op is Opcode.PING:
                self.pings.append(event.data.hex())
            elif op is Opcode.CLOSE:
                code = int.from_bytes(event.data[:2], "big") if event.data else 1005
                self.close = [code, event.data[2:].decode()]
            else:
                if op is not Opcode.CONT:
                    self.message = [op is Opcode.BINARY, bytearray()]
                self.message[1].extend(event.data)
                if event.fin:
                    self.messages.append(told(self.message[0], bytes(self.message[1])))

    @property
    def over(self):
        return self.close is not None or self.wire.end is not None or self.violation is not None

    def bytes_of(self, frame):
        data = payload_of(frame)
        head = (0x80 if frame.get("fin", True) else 0) | (frame.get("rsv", 0) << 4) | frame["op"]
        masked = frame.get("masked", self.masked)
        bit = 0x80 if masked else 0
        size = frame.get("claims", len(data))
        if size < 126:
            out = struct.pack("!BB", head, bit | size)
        elif size < 65536:
            out = struct.pack("!BBH", head, bit | 126, size)
        else:
            out = struct.pack("!BBQ", head, bit | 127, size)
        if masked:
            key = (MASK * (len(data) // 4 + 1))[: len(data)]
            data = (int.from_bytes(data, "big") ^ int.from_bytes(key, "big")).to_bytes(len(data), "big")
            out += MASK
        if frame["op"] == 8:
            self.closing = True
        return out + data

    def step(self, step):
        if "cuts" in step:
            self.drip(self.bytes_of(step["frames"][0]), step["cuts"], step["pause"] / 1000)
        elif "frames" in step:
            parts = [self.bytes_of(frame) for frame in step["frames"]]
            if "chop" not in step:
                parts = parts if step.get("sync") else [b"".join(parts)]
            for part in parts:
                size = step.get("chop", len(part)) or 1
                for at in range(0, len(part), size):
                    self.wire.send(part[at : at + size])
        elif "say" in step:
            self.say(step["say"])
        elif "await" in step:
            want = step["await"]
            while not self.over and (
                len(self.messages) < want.get("messages", 0) or len(self.pongs) < want.get("pongs", 0)
            ):
                self.read()

    def drip(self, frame, cuts, pause_s):
        """A frame in pieces of its payload, with a look between them whether the other end has had enough."""
        head = len(frame) - cuts[-1]
        for start, end in zip([-head, *cuts], cuts):
            self.wire.send(frame[head + start : head + end])
            if end == cuts[-1]:
                return
            self.read(pause_s)
            if self.wire.end == "timeout":
                self.wire.end = None
            if self.over:
                return
            self.survived += 1

    def say(self, what):
        """A message as the other implementation frames it, compressed if that was agreed."""
        data = payload_of(what)
        size = what.get("fragment", 0) or len(data) or 1
        first = self.connection.send_binary if what.get("binary") else self.connection.send_text
        for at in range(0, max(len(data), 1), size):
            last = at + size >= len(data)
            (first if at == 0 else self.connection.send_continuation)(data[at : at + size], last)
        self.reply()

    def run(self, case):
        for step in case["steps"]:
            if self.over:
                break
            self.step(step)
        if case["finish"] == "close" and not self.over:
            self.wire.send(self.bytes_of({"op": 8, "b64": "A+g="}))
        while self.wire.end is None and (self.masked or self.close is None):
            self.read()
        # It is the server that ends the connection (RFC 6455 section 7.1.1).
        self.wire.plain.close()
        return {
            "messages": self.messages,
            "pongs": self.pongs,
            "pings": self.pings,
            "close": self.close,
            "end": self.wire.end or "closed",
            "violation": self.violation,
            "survived": self.survived,
            "extensions": [repr(each) for each in self.connection.extensions],
        }


def payload_of(spec):
    if "fill" in spec:
        unit = spec["fill"].encode()
        return (unit * (spec["size"] // len(unit) + 1))[: spec["size"]]
    return base64.b64decode(spec.get("b64", ""))


def ask(target, case):
    plain = socket.create_connection(("127.0.0.1", target["port"]), PATIENCE_S)
    wire = Wire(plain, target.get("tls", False))
    offers = [ClientPerMessageDeflateFactory(**offer) for offer in case.get("offers", [])]
    connection = ClientConnection(
        parse_uri(f"ws://127.0.0.1:{target['port']}{target.get('path', '/')}"), extensions=offers or None, max_size=MAX_BYTES
    )
    request = connection.connect()
    for name, value in target.get("headers", {}).items():
        request.headers[name] = value
    connection.send_request(request)
    play = Play(connection, wire, masked=True)
    play.reply()
    while connection.state is websockets.connection.State.CONNECTING and wire.end is None:
        play.read()
    if connection.handshake_exc is not None or wire.end is not None:
        return {"handshake": repr(connection.handshake_exc), "end": wire.end}
    return play.run(case)


def ask_all(plan):
    jobs = [(target, case) for target in plan["targets"] for case in plan["cases"]]
    seen = {target["name"]: {} for target in plan["targets"]}
    with ThreadPoolExecutor(4) as pool:
        for (target, case), result in zip(jobs, pool.map(lambda job: ask(*job), jobs)):
            seen[target["name"]][case["id"]] = result
    return seen


def answer_all(plan):
    """A service whose path names the case to play: `/<target>/<case>`."""
    cases = {case["id"]: case for case in plan["cases"]}
    left = len(cases) * len(plan["targets"])
    seen = {name: {} for name in plan["targets"]}
    listener = socket.create_server(("127.0.0.1", 0), backlog=128)
    print(listener.getsockname()[1], flush=True)

    def meet(plain):
        wire = Wire(plain, False)
        connection = ServerConnection(max_size=MAX_BYTES)
        play = Play(connection, wire, masked=False)
        path = None
        while path is None and wire.end is None:
            data = wire.receive()
            if data:
                connection.receive_data(data)
            for event in connection.events_received():
                path = event.path
                connection.send_response(connection.accept(event))
                play.reply()
        if path is None:
            return
        _, name, case = unquote(path).split("/")
        seen[name][case] = play.run(cases[case])

    threads = []
    for _ in range(left):
        plain, _ = listener.accept()
        threads.append(threading.Thread(target=meet, args=(plain,)))
        threads[-1].start()
    for thread in threads:
        thread.join()
    return seen


async def echo_all(plan):
    """Clients that send back what they get, a few at a time."""
    seen = {target["name"]: {} for target in plan["targets"]}
    gate = asyncio.Semaphore(12)

    async def one(target, case):
        async with gate:
            url = f"ws://127.0.0.1:{target['port']}/{quote(target['name'] + '/' + case)}"
            got = []
            async with websockets.connect(url, max_size=MAX_BYTES, compression=None, close_timeout=5) as ws:
                try:
                    async for message in ws:
                        got.append(told(*((False, message.encode()) if isinstance(message, str) else (True, message))))
                        await ws.send(message)
                except websockets.ConnectionClosed:
                    pass
            close = [ws.close_code, ws.close_reason]
            seen[target["name"]][case] = {"messages": got, "close": close}

    await asyncio.gather(*(one(target, case) for target in plan["targets"] for case in plan["cases"]))
    return seen


def flood(plan):
    """With `pings`, a number: begins to read when no more is taken of them, and tells what came."""
    plain = socket.create_connection(("127.0.0.1", plan["port"]), PATIENCE_S)
    connection = ClientConnection(parse_uri(f"ws://127.0.0.1:{plan['port']}{plan['path']}"))
    connection.send_request(connection.connect())
    plain.sendall(b"".join(connection.data_to_send()))
    plain.recv(2**12)
    plain.setblocking(False)
    pings = memoryview((b"\x89\xfd" + MASK + bytes(125)) * 1000)
    all_bytes = plan.get("pings", 2**40) * 131
    sent = received = 0
    held_at = None
    while received < all_bytes // 131 * 127:
        reads, writes = held_at is not None, sent < all_bytes
        readable, writable, _ = select.select([plain] * reads, [plain] * writes, [], PATIENCE_S if reads else 1)
        if writable:
            at = sent % len(pings)
            sent += plain.send(pings[at : at + all_bytes - sent])
        if readable:
            data = plain.recv(2**16)
            received += len(data)
            if not data:
                break
        if not readable and not writable:
            if reads:
                break
            held_at = sent if "pings" in plan else None
    plain.close()
    return {"held": None if held_at is None else held_at // 131, "pongs": received / 127}


async def serve():
    async def echo(ws, _path):
        try:
            async for message in ws:
                await ws.send(message)
        except websockets.ConnectionClosed:
            # Half of the cases end like that.
            pass

    async with websockets.serve(echo, "127.0.0.1", 0, max_size=MAX_BYTES, ping_interval=None) as server:
        print(server.sockets[0].getsockname()[1], flush=True)
        await asyncio.Future()


if sys.argv[1] == "serve":
    asyncio.run(serve())
else:
    plan = json.load(sys.stdin)
    result = {"ask": ask_all, "answer": answer_all, "flood": flood, "echo": lambda plan: asyncio.run(echo_all(plan))}[sys.argv[1]](plan)
    print(json.dumps(result), flush=True)
