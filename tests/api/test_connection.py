"""What a client may do to a connection, and what it gets."""

from __future__ import annotations

import asyncio
import gc
import socket
import weakref
from dataclasses import replace
from typing import Any

import pytest

from qiao.api.protocol import GuardedProtocol
from qiao.api.server import Limits
from tests.api.listening import CHUNKED, GET, ON_BOTH_LOOPS, SHORT, Seen, answer, echo, listening, post, read, stream

pytestmark = ON_BOTH_LOOPS


def status(data: bytes) -> int:
    return int(data.split(b" ", 2)[1])


async def test_a_silent_socket_is_closed_without_a_word(seen: Seen) -> None:
    async with listening(echo(seen), SHORT) as server:
        client = await server.client()
        assert await client.rest() == b""


async def test_a_trickled_head_gets_408_at_its_deadline_however_lively_it_trickles(seen: Seen) -> None:
    async with listening(echo(seen), SHORT) as server:
        client = await server.client()
        began = asyncio.get_running_loop().time()
        assert status(await client.trickle(post(1, "X: " + "x" * 100))) == 408
        took = asyncio.get_running_loop().time() - began
        assert 0.15 < took < 0.8
        assert seen.paths == []


async def test_an_idle_connection_is_closed_and_a_begun_second_request_gets_408(seen: Seen) -> None:
    async with listening(echo(seen), SHORT) as server:
        idle, begun = await server.client(GET), await server.client(GET)
        await idle.answer()
        await begun.answer()
        begun.send(GET[:10])
        assert await idle.rest() == b""
        assert status(await begun.rest()) == 408


async def test_a_late_body_is_told_to_the_app_whose_408_reaches_the_client(seen: Seen) -> None:
    async with listening(echo(seen), SHORT) as server:
        client = await server.client(post(100))
        data = await client.trickle(b"x" * 99)
        assert status(data) == 408
        assert b"connection: close" in data
        assert data.endswith(b"\r\n\r\nlate")


async def test_an_app_that_does_not_answer_a_late_body_is_ended(seen: Seen) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        scope["extensions"]["qiao.disconnect"](seen.left.set)
        await read(receive)
        await seen.left.wait()

    async with listening(app, SHORT) as server:
        client = await server.client(post(100))
        assert await client.rest() == b""
        assert seen.left.is_set()


async def test_a_large_body_has_more_time(seen: Seen) -> None:
    async with listening(echo(seen), replace(SHORT, body_rate=1000)) as server:
        client = await server.client(post(1000))
        for _ in range(10):
            client.send(b"x" * 100)
            await asyncio.sleep(0.04)
        assert status((await client.answer())[0]) == 200


async def test_a_body_that_the_app_lets_wait_is_not_late() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.sleep(0.5)
        body = await read(receive)
        await answer(send, b"late" if body is None else b"%d" % len(body))

    async with listening(app, SHORT) as server:
        client = await server.client(post(300_000) + b"x" * 300_000)
        assert (await client.answer())[1] == b"300000"


async def test_an_answer_before_the_end_of_the_body_is_whole_and_the_rest_has_its_deadline() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await answer(send, b"no", 401)

    async with listening(app, SHORT) as server:
        client = await server.client(post(100) + b"x")
        assert (await client.answer())[1] == b"no"
        client.send(b"x" * 50)
        assert await client.rest() == b""
        client = await server.client(post(100) + b"x")
        await client.answer()
        client.send(b"x" * 99 + GET)
        assert (await client.answer())[1] == b"no"


@pytest.mark.parametrize(
    ("request_bytes", "expected"),
    [
        (b"GET / HTTP/1.1\r\nHost: h\r\nX: " + b"x" * 20_000 + b"\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\nHost: h\r\nX: " + b"x" * 2_000_000, 431),
        (b"GET / HTTP/1.1\r\nHost: h\r\n" + b"X: y\r\n" * 100 + b"\r\n", 431),
        (b"GET / HTTP/1.1\r\nHost: h\r\n" + b"X: y\r\n" * 99 + b"\r\n", 200),
        (b"GET / HTTP/1.1\r\nHost: h\r\nX: " + b"x" * 16_000 + b"\r\n\r\n", 200),
        (b"GET /" + b"x" * 9_000 + b" HTTP/1.1\r\nHost: h\r\n\r\n", 414),
        (b"GET /" + b"x" * 200_000, 414),
        (b"GET /" + b"x" * 8_000 + b" HTTP/1.1\r\nHost: h\r\n\r\n", 200),
        (post(100_000, "X: " + "x" * 15_000) + b"x" * 100_000, 200),
        (post(100_000, "X: " + "x" * 17_000) + b"x" * 100_000, 431),
    ],
)
async def test_what_is_too_large_is_refused_and_the_answer_is_not_lost(
    seen: Seen, request_bytes: bytes, expected: int
) -> None:
    async with listening(echo(seen)) as server:
        client = await server.client(request_bytes)
        head, _ = await client.answer()
        assert status(head) == expected
        assert len(seen.paths) == (expected == 200)


@pytest.mark.parametrize(
    ("request_bytes", "expected"),
    [
        (post(5, "Transfer-Encoding: chunked") + b"0\r\n\r\n" + GET, 400),
        (CHUNKED[:-2] + b"Content-Length: 5\r\n\r\n0\r\n\r\n" + GET, 400),
        (post(1, "Content-Length: 1") + b"x", 400),
        (post(1, "Content-Length: 2") + b"xx", 400),
        (post(1).replace(b"1\r\n", b"1, 1\r\n") + b"x", 400),
        (post(1).replace(b"Length: 1", b"Length: +1") + b"x", 400),
        (post(1).replace(b"Length: 1", b"Length: 0x1") + b"x", 400),
        (post(1).replace(b"Length:", b"Length :") + b"x", 400),
        (CHUNKED.replace(b"chunked", b"xchunked"), 501),
        (CHUNKED.replace(b"chunked", b"gzip, chunked") + b"0\r\n\r\n", 501),
        (CHUNKED.replace(b"chunked", b"identity"), 501),
        (CHUNKED.replace(b"1.1", b"1.0") + b"0\r\n\r\n", 400),
        (GET.replace(b"\r\n", b"\n"), 400),
        (b"GET / HTTP/1.1\r\nHost: h\nX: y\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: h\rX: y\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: h\r\n X: y\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: h\r\nX: a\0b\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: h\r\nHost: other\r\n\r\n", 400),
        (CHUNKED + b"1\nx\r\n0\r\n\r\n", 400),
        (CHUNKED + b"1\r\nx\n0\r\n\r\n", 400),
        (CHUNKED + b"-1\r\nx\r\n0\r\n\r\n", 400),
        (CHUNKED + b"0x1\r\nx\r\n0\r\n\r\n", 400),
        (CHUNKED + b"1 \r\nx\r\n0\r\n\r\n", 400),
        (CHUNKED + b"FFFFFFFFFFFFFFFFF\r\nx\r\n0\r\n\r\n", 400),
        (CHUNKED + b"1\r\nxyz\r\n0\r\n\r\n", 400),
        (CHUNKED + b"1\r\nx\r\n0\r\nAuthorization: Bearer x\r\n\r\n", 400),
        (CHUNKED + b"1;" + b"e" * 500_000, 400),
        (CHUNKED + b"1\r\nx\r\n0\r\nX: " + b"x" * 500_000, 400),
        (b"CONNECT h:443 HTTP/1.1\r\nHost: h\r\n\r\n", 405),
        (b"GET / HTTP/2.0\r\nHost: h\r\n\r\n", 505),
        (b"GET /\r\n\r\n", 505),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01", 400),
        ("GET /é HTTP/1.1\r\nHost: h\r\n\r\n".encode(), 400),
    ],
)
async def test_what_two_servers_might_read_differently_is_refused_once(
    seen: Seen, request_bytes: bytes, expected: int
) -> None:
    async with listening(echo(seen)) as server:
        client = await server.client(request_bytes)
        data = await client.rest()
        assert status(data) == expected
        assert data.count(b"HTTP/1.1 ") == 1
        assert seen.bodies == []


async def test_two_pipelined_requests_are_answered_in_order(seen: Seen) -> None:
    async with listening(echo(seen)) as server:
        client = await server.client(post(3) + b"one" + GET.replace(b"/a", b"/b"))
        assert (await client.answer())[1] == b"/a one"
        assert (await client.answer())[1] == b"/b "


async def test_a_bad_request_behind_a_good_one_does_not_break_its_answer(seen: Seen) -> None:
    for bad in (b"nonsense\r\n\r\n", CHUNKED + b"zz\r\n", GET.replace(b"Host", b"Host ")):
        async with listening(echo(seen)) as server:
            client = await server.client(GET + bad)
            data = await client.rest()
            assert data.count(b"HTTP/1.1 ") == 1
            assert data.endswith(b"\r\n\r\n/a ")


async def test_only_so_many_requests_wait_in_line(seen: Seen) -> None:
    async with listening(echo(seen), Limits(pipelined=3, linger=0.1)) as server:
        client = await server.client(GET * 10)
        assert (await client.rest()).count(b"HTTP/1.1 200") == 4
        assert len(seen.paths) == 4


async def test_expect_is_answered_when_the_body_is_read(seen: Seen) -> None:
    async with listening(echo(seen)) as server:
        client = await server.client(post(2, "Expect: 100-continue"))
        assert await client.reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.send(b"ok")
        assert (await client.answer())[1] == b"/a ok"


async def test_a_refusal_in_place_of_100_ends_the_connection() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await answer(send, b"no", 401)

    async with listening(app) as server:
        client = await server.client(post(20, "Expect: 100-continue"))
        head, _ = await client.answer()
        assert status(head) == 401
        assert b"connection: close" in head
        client.send(GET)
        assert await client.rest() == b""


@pytest.mark.parametrize("split", [1, 60, 10_000])
async def test_an_upgrade_is_answered_as_plain_http_with_its_body(seen: Seen, split: int) -> None:
    upgrade = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMA")
    websocket = GET[:-2] + b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\r\n"
    data = post(2, *upgrade) + b"ok" + websocket + GET
    async with listening(echo(seen)) as server:
        client = await server.client()
        for at in range(0, len(data), split):
            client.send(data[at : at + split])
            await asyncio.sleep(0)
        assert (await client.answer())[1] == b"/a ok"
        assert (await client.answer())[1] == b"/a "
        assert (await client.answer())[1] == b"/a "


async def test_an_upgrade_with_connection_close_is_closed(seen: Seen) -> None:
    async with listening(echo(seen)) as server:
        client = await server.client(post(2, "Connection: close, Upgrade", "Upgrade: h2c") + b"ok")
        data = await client.rest()
        assert b"connection: close" in data
        assert data.endswith(b"\r\n\r\n/a ok")


async def test_a_client_that_never_reads_is_dropped_and_the_app_told(seen: Seen) -> None:
    async with listening(stream(seen, b"x" * 65536, every=0.0), SHORT) as server:
        await server.client(GET)
        async with asyncio.timeout(3):
            await seen.left.wait()


async def test_a_client_that_never_reads_its_last_bytes_is_dropped() -> None:
    answered = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await answer(send, b"x" * 30_000_000)
        answered.set()

    async with listening(app, SHORT) as server:
        with socket.create_connection(("127.0.0.1", server.port)) as sock:
            sock.sendall(GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
            await answered.wait()
            server.server.stop()
            async with asyncio.timeout(3):
                await server.task
            assert server.drain.state == "draining"


async def test_a_slow_reader_is_not_a_stalled_one() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await answer(send, b"x" * 3_000_000)

    async with listening(app, SHORT) as server:
        with socket.socket() as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
            sock.setblocking(False)
            loop = asyncio.get_running_loop()
            await loop.sock_connect(sock, ("127.0.0.1", server.port))
            await loop.sock_sendall(sock, GET)
            size = 0
            while size < 3_000_000:
                await asyncio.sleep(0.005)
                piece = await loop.sock_recv(sock, 40_000)
                assert piece
                size += len(piece)


@pytest.mark.parametrize("how", ["half_close", "reset"])
async def test_the_app_is_told_that_the_client_left(seen: Seen, how: str) -> None:
    async with listening(stream(seen)) as server:
        client = await server.client(GET)
        await seen.began.wait()
        getattr(client, how)()
        async with asyncio.timeout(1):
            await seen.left.wait()


async def test_an_app_that_asks_too_late_is_told_at_once(seen: Seen) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.began.set()
        await asyncio.sleep(0.1)
        scope["extensions"]["qiao.disconnect"](seen.left.set)

    async with listening(app) as server:
        client = await server.client(GET)
        await seen.began.wait()
        client.reset()
        async with asyncio.timeout(1):
            await seen.left.wait()


async def test_a_client_that_leaves_ends_the_running_call_and_what_it_had_pipelined(seen: Seen) -> None:
    async with listening(stream(seen)) as server:
        client = await server.client(GET + GET.replace(b"/a", b"/b"))
        await seen.began.wait()
        client.half_close()
        async with asyncio.timeout(1):
            await seen.left.wait()
        assert seen.paths == ["/a"]


async def test_a_client_that_leaves_after_the_last_byte_is_not_told() -> None:
    told = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        scope["extensions"]["qiao.disconnect"](told.set)
        await answer(send, b"ok")

    async with listening(app) as server:
        client = await server.client(GET)
        await client.answer()
        client.reset()
        await asyncio.sleep(0.05)
        assert not told.is_set()


async def test_one_connection_too_many_gets_503_until_another_ends(seen: Seen) -> None:
    async with listening(echo(seen), Limits(connections=1, linger=0.1)) as server:
        first = await server.client(GET)
        await first.answer()
        head, _ = await (await server.client(GET)).answer()
        assert status(head) == 503
        assert b"retry-after: 1\r\n" in head
        first.reset()
        await asyncio.sleep(0.2)
        assert status((await (await server.client(GET)).answer())[0]) == 200


async def test_accepted_sockets_are_tuned() -> None:
    found: list[list[int]] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        (connection,) = server.server._state.connections
        sock = connection.transport.get_extra_info("socket")
        options = [
            (socket.SOL_SOCKET, socket.SO_KEEPALIVE),
            (socket.IPPROTO_TCP, socket.TCP_NODELAY),
            (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE),
            (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT),
        ]
        found.append([sock.getsockopt(*option) for option in options])
        await answer(send, b"ok")

    async with listening(app) as server:
        await (await server.client(GET)).answer()
        assert found == [[1, 1, 30, 60_000]]


async def test_a_connection_leaves_nothing_to_the_garbage_collector(seen: Seen) -> None:
    async with listening(echo(seen)) as server:
        gc.disable()
        try:
            client = await server.client(GET)
            await client.answer()
            (connection,) = server.server._state.connections
            assert isinstance(connection, GuardedProtocol)
            left = weakref.ref(connection)
            del connection
            client.half_close()
            await client.rest()
            await asyncio.sleep(0.05)
            assert left() is None
        finally:
            gc.enable()
