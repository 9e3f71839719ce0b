"""Clients that leave, engines that are silent, a server that stops (reliability design, C1-C3, F6, §5.12)."""

import asyncio
import json
import socket
from collections.abc import Callable
from typing import Any

import pytest

from qiao import app
from qiao.config import Settings
from tests.stage import ANSWER, CALL, DONE, FINISH, HELLO, ROLE, USAGE, Asked, Bridge, bridge, scripted

pytestmark = pytest.mark.anyio


def _error(body: bytes) -> dict[str, str]:
    """The error of a stream's last frame."""
    last = body.rstrip(b"\n").rsplit(b"\n\n", 1)[-1]
    assert last.startswith(b'data: {"error":'), body
    return json.loads(last[6:])["error"]


def _closed_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


async def _start_stream(server: Bridge, fields: dict[str, object]) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection(server.url.host, server.url.port)
    body = json.dumps(CALL | fields).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-length: {len(body)}\r\n\r\n"
    writer.write(head.encode() + body)
    return reader, writer


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("how", ["fin", "reset"])
async def test_c1_c2_a_client_that_leaves_closes_the_engine_at_once(stream: bool, how: str) -> None:
    gone: asyncio.Future[float] = asyncio.get_running_loop().create_future()
    begun = asyncio.Event()

    async def wait(asked: Asked) -> None:
        if stream:
            await asked.begin()
            await asked.piece(ROLE + HELLO)
        begun.set()
        gone.set_result(await asked.gone())

    async with scripted(wait) as engine, bridge(engine="http", engine_url=engine.url) as server:
        reader, writer = await _start_stream(server, {"stream": stream})
        await begun.wait()
        if stream:
            await reader.readuntil(HELLO[:20])
        if how == "reset":
            writer.transport.abort()
        else:
            writer.close()
        assert await gone < 0.25


async def test_c3_a_client_that_leaves_after_the_last_byte_counts_as_complete(
    capfd: pytest.CaptureFixture[str],
) -> None:
    async def late(asked: Asked) -> None:
        await asked.begin()
        await asked.piece(ANSWER)
        await asyncio.sleep(0.3)
        await asked.end()

    async with scripted(late) as engine, bridge(engine="http", engine_url=engine.url, log_calls=True) as server:
        reader, writer = await _start_stream(server, {"stream": True})
        await reader.readuntil(b"[DONE]")
        writer.close()
        await asyncio.sleep(0.6)
    assert '"outcome":"complete"' in capfd.readouterr().err


async def test_a_silent_engine_is_covered_by_keep_alive_comments_and_failover_still_works() -> None:
    async def slow(asked: Asked) -> None:
        await asyncio.sleep(0.7)
        asked.reset()

    async with scripted(slow, Asked.events) as engine:
        timeouts = {"keep_alive": 0.2}
        async with bridge(engine="http", engine_url=engine.url, timeouts=timeouts) as server:
            answer = await server.chat(stream=True, stream_options={"include_usage": True})
            assert answer.body.startswith(b": keep-alive\n\n")
            assert answer.body.replace(b": keep-alive\n\n", b"") == ANSWER
        async with bridge(engine="http", engine_url=f"http://127.0.0.1:{_closed_port()}") as server:
            assert (await server.chat(stream=True)).status == 503


async def test_an_error_after_keep_alive_comments_is_an_event() -> None:
    async def never(asked: Asked) -> None:
        await asyncio.sleep(0.5)
        await asked.whole(b'{"error":{"message":"bad n","code":"invalid_parameter_error"}}', 400)

    quick = {"keep_alive": 0.1}
    async with scripted(never) as engine, bridge(engine="http", engine_url=engine.url, timeouts=quick) as server:
        answer = await server.chat(stream=True)
        assert answer.status == 200
        assert _error(answer.body)["message"] == "bad n"
        native = {"model": "qwen-plus", "input": {"prompt": "hi"}}
        headers = {"x_dashscope_sse": "enable"}
        flat = await server.ask("/api/v1/services/aigc/text-generation/generation", native, **headers)
        assert b"event:error\n:HTTP_STATUS/400\n" in flat.body


async def test_a_stopping_server_completes_what_ends_in_time_and_tells_the_rest() -> None:
    release = asyncio.Event()

    async def hold(asked: Asked) -> None:
        await asked.begin()
        await asked.piece(ROLE + HELLO)
        if asked.json["messages"][0]["content"] == "soon":
            await release.wait()
            await asked.piece(FINISH + USAGE + DONE)
            await asked.end()
        else:
            await asked.gone()

    async with scripted(hold) as engine, bridge(engine="http", engine_url=engine.url, window=0.8) as server:
        soon = asyncio.create_task(server.chat(stream=True, messages=[{"role": "user", "content": "soon"}]))
        late = asyncio.create_task(server.chat(stream=True))
        await asyncio.sleep(0.3)
        server.server.stop()
        await asyncio.sleep(0.1)
        release.set()
        assert DONE in (await soon).body
        cut = (await late).body
        assert cut.startswith(ROLE + HELLO)
        assert "stopping" in _error(cut)["message"]


async def test_concurrent_streams_do_not_mix() -> None:
    async def own(asked: Asked) -> None:
        mark = asked.json["messages"][0]["content"].encode()
        await asked.begin()
        for _ in range(20):
            await asked.piece(HELLO.replace("你好".encode(), mark))
            await asyncio.sleep(0)
        await asked.piece(FINISH + DONE)
        await asked.end()

    async with scripted(own) as engine, bridge(engine="http", engine_url=engine.url) as server:
        asks = [server.chat(stream=True, messages=[{"role": "user", "content": f"mark{i}"}]) for i in range(50)]
        for number, answer in enumerate(await asyncio.gather(*asks)):
            assert answer.body.count(f'mark{number}"'.encode()) == 20
            assert answer.body.count(b"mark") == 20


async def test_a_client_that_leaves_while_a_comment_is_on_its_way_leaves_nothing_running() -> None:
    async def late(asked: Asked) -> None:
        await asyncio.sleep(0.2)
        await asked.events()
        await asked.gone()

    async with scripted(late) as engine:
        rows = [{"name": "gpu", "kind": "openai", "url": engine.url}]
        built = app.build(Settings.load(None, {"engines": rows, "timeouts": {"keep_alive": 0.05}, "log_calls": False}))
        body = json.dumps(CALL | {"stream": True}).encode()
        leave: list[Callable[[], None]] = []
        stuck = asyncio.Event()

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: Any) -> None:
            if message["type"] == "http.response.body":
                stuck.set()
                await asyncio.Event().wait()

        headers = [(b"host", b"localhost"), (b"content-length", b"%d" % len(body))]
        scope = {
            "type": "http", "method": "POST", "path": "/v1/chat/completions", "headers": headers, "query_string": b"",
            "server": ("127.0.0.1", 80), "extensions": {"qiao.disconnect": leave.append},
        }  # fmt: skip
        call = asyncio.create_task(built.front(scope, receive, send))
        await stuck.wait()
        await asyncio.sleep(0.5)
        standing = vars(built.probes)["_balance"].standings["gpu"]
        assert standing.running == 1
        leave[0]()
        await call
        assert standing.running == 0
        await built.close()
