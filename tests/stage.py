"""A bridge between scripted ends: a real server of ours, an engine whose every byte is scripted, a raw client."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from qiao import app
from qiao.api.server import Limits, Server
from qiao.config import Settings
from qiao.engines.client import Client, Url
from qiao.engines.connection import Limits as ClientLimits

TAIL = '"object":"chat.completion.chunk","usage":null,"created":1,"system_fingerprint":null,"model":"qwen-plus"'


def chunk(delta: dict[str, Any], finish: str | None = None, ident: str = "chatcmpl-up1") -> bytes:
    """A chunk as the cloud writes it."""
    choice = json.dumps({"delta": delta, "index": 0, "logprobs": None, "finish_reason": finish}, ensure_ascii=False)
    return f'data: {{"choices":[{choice}],{TAIL},"id":"{ident}"}}\n\n'.replace('": ', '":').encode()


ROLE = chunk({"content": "", "role": "assistant"})
HELLO = chunk({"content": "你好"})
FINISH = chunk({"content": ""}, "stop")
USAGE = b'data: {"choices":[],"object":"chat.completion.chunk","usage":{"prompt_tokens":9,"completion_tokens":2,"total_tokens":11},"id":"chatcmpl-up1"}\n\n'
DONE = b"data: [DONE]\n\n"
ANSWER = ROLE + HELLO + FINISH + USAGE + DONE
WHOLE = b'{"choices":[{"message":{"role":"assistant","content":"\xe4\xbd\xa0\xe5\xa5\xbd"},"finish_reason":"stop","index":0,"logprobs":null}],"object":"chat.completion","usage":{"prompt_tokens":9,"completion_tokens":2,"total_tokens":11},"created":1,"system_fingerprint":null,"model":"qwen-plus","id":"chatcmpl-up1"}'


@dataclass
class Asked:
    """One request that reached the scripted engine, and the connection to answer on."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def whole(self, body: bytes = WHOLE, status: int = 200, **headers: str) -> None:
        """A JSON answer."""
        extra = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
        head = f"HTTP/1.1 {status} X\r\ncontent-type: application/json\r\n{extra}content-length: {len(body)}\r\n\r\n"
        await self.send(head.encode() + body)

    async def begin(self, content_type: str = "text/event-stream") -> None:
        """The head of a chunked answer."""
        await self.send(
            f"HTTP/1.1 200 OK\r\ncontent-type: {content_type}\r\ntransfer-encoding: chunked\r\n\r\n".encode()
        )

    async def piece(self, data: bytes) -> None:
        """One HTTP chunk."""
        await self.send(b"%x\r\n%s\r\n" % (len(data), data))

    async def end(self) -> None:
        """The end of a chunked answer."""
        await self.send(b"0\r\n\r\n")

    async def events(self, *pieces: bytes) -> None:
        """A whole stream, one HTTP chunk per piece."""
        await self.begin()
        for piece in pieces or (ANSWER,):
            await self.piece(piece)
        await self.end()

    def reset(self) -> None:
        """Drop the connection with a reset."""
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    async def gone(self, within: float = 3.0) -> float:
        """Seconds until the bridge closed this connection."""
        began = asyncio.get_running_loop().time()
        with contextlib.suppress(ConnectionError):
            async with asyncio.timeout(within):
                while await self.reader.read(65536):
                    pass
        return asyncio.get_running_loop().time() - began


Script = Callable[[Asked], Awaitable[None]]


@dataclass
class Engine:
    """The scripted engine: scripts are used one per request, the last one for all that follow."""

    url: str
    asked: list[Asked] = field(default_factory=list[Asked])


@contextlib.asynccontextmanager
async def scripted(
    *scripts: Script, tls: ssl.SSLContext | None = None, owner: str = "test", port: int = 0
) -> AsyncIterator[Engine]:
    """Run a scripted engine. GET /models says that it has one model of this owner, without using a script up."""
    left = list(scripts)
    engine = Engine("")
    running: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        running[task] = writer
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while True:
                asked = await _read(reader, writer)
                if asked.method == "GET" and asked.path.endswith("/models"):
                    await asked.whole(b'{"object":"list","data":[{"id":"m","owned_by":"%s"}]}' % owner.encode())
                    continue
                engine.asked.append(asked)
                script = left.pop(0) if len(left) > 1 else left[0]
                await script(asked)
        writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", port, ssl=tls)
    engine.url = f"http{'s' if tls else ''}://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield engine
    finally:
        server.close()
        for task, writer in running.items():
            task.cancel()
            writer.transport.abort()
        await asyncio.sleep(0)


async def _read(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Asked:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    method, path, _ = head[0].split(" ")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:] if line)}
    if headers.get("transfer-encoding") == "chunked":
        body = b""
        while size := int(await reader.readline(), 16):
            body += await reader.readexactly(size)
            await reader.readline()
        await reader.readline()
    else:
        body = await reader.readexactly(int(headers.get("content-length", 0)))
    return Asked(method, path, headers, body, reader, writer)


@dataclass
class Bridge:
    """A running server of ours."""

    url: Url
    app: app.App
    server: Server
    client: Client
    task: asyncio.Task[int]

    async def ask(self, path: str, body: Any = None, *, method: str = "POST", **headers: str) -> Answer:
        """One request, read to its end; JSON for anything but bytes."""
        data = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        sent = [(name.replace("_", "-"), value) for name, value in headers.items()]
        limits = ClientLimits(head=20, idle=20)
        response = await self.client.open(self.url.under(path), method, sent, data, limits=limits)
        return Answer(response.status, response.headers, await response.all())

    async def chat(self, **fields: Any) -> Answer:
        """One chat call of OpenAI mode."""
        return await self.ask("/v1/chat/completions", CALL | fields)


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


CALL: dict[str, Any] = {"model": "qwen-plus", "messages": [{"role": "user", "content": "你好"}]}


@contextlib.asynccontextmanager
async def bridge(**settings: Any) -> AsyncIterator[Bridge]:
    """Run our server on a free port."""
    window = settings.pop("window", 5.0)
    built = app.build(Settings.load(None, {"log_calls": False, **settings}))
    ready: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    server = Server(built.front, host="127.0.0.1", port=0, limits=Limits(), drain=built.drain)
    await built.start()
    task = asyncio.create_task(server.run(window=window, on_started=ready.set_result))
    client = Client()
    try:
        yield Bridge(Url.parse(await ready), built, server, client, task)
    finally:
        await client.close()
        server.stop()
        await task
        await built.close()
