"""How the server starts, and how it stops without breaking a stream."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import socket
from typing import Any

import pytest

from qiao.api.drain import Drain
from qiao.api.server import Limits, Server, bind
from tests.api.listening import GET, ON_BOTH_LOOPS, App, Seen, answer, echo, listening, post

pytestmark = ON_BOTH_LOOPS
LAST = b"server_shutdown"


def streams(drain: Drain, seen: Seen, pieces: int | None = None) -> App:
    """So many pieces, or pieces until it is cut, when a last one tells so."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        cut = asyncio.Event()
        unregister = drain.on_cut(cut.set)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        sent = 0
        while sent != pieces and not cut.is_set():
            await send({"type": "http.response.body", "body": b"piece", "more_body": True})
            seen.began.set()
            sent += 1
            await asyncio.sleep(0.02)
        await send({"type": "http.response.body", "body": LAST if cut.is_set() else b"done"})
        unregister()

    return app


async def refuses(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except ConnectionRefusedError:
        return True
    writer.close()
    return False


async def test_what_ends_within_the_window_is_whole(seen: Seen) -> None:
    drain = Drain()
    async with listening(streams(drain, seen, 10), drain=drain) as server:
        client = await server.client(GET)
        await seen.began.wait()
        server.server.stop()
        data = await client.rest()
        assert data.count(b"piece") == 10
        assert data.endswith(b"4\r\ndone\r\n0\r\n\r\n")
        assert await server.task == 0


async def test_what_does_not_end_is_cut_with_a_last_frame(seen: Seen) -> None:
    drain = Drain()
    async with listening(streams(drain, seen), drain=drain, window=0.2) as server:
        clients = [await server.client(GET) for _ in range(20)]
        await seen.began.wait()
        server.server.stop()
        for client in clients:
            assert (await client.rest()).endswith(LAST + b"\r\n0\r\n\r\n")
        assert await server.task == 0
        assert drain.state == "cutting"


async def test_the_second_signal_cuts_at_once(seen: Seen) -> None:
    drain = Drain()
    async with listening(streams(drain, seen), drain=drain, window=60, pre_stop=60) as server:
        client = await server.client(GET)
        await seen.began.wait()
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.sleep(0.1)
        assert drain.state == "draining"
        os.kill(os.getpid(), signal.SIGTERM)
        assert (await client.rest()).endswith(LAST + b"\r\n0\r\n\r\n")
        assert await server.task == 0


async def test_the_keyboard_stops_it_too(seen: Seen) -> None:
    drain = Drain()
    async with listening(streams(drain, seen, 3), drain=drain, window=60) as server:
        client = await server.client(GET)
        await seen.began.wait()
        os.kill(os.getpid(), signal.SIGINT)
        assert (await client.rest()).endswith(b"4\r\ndone\r\n0\r\n\r\n")
        assert await server.task == 0


async def test_the_port_closes_while_streams_still_run(seen: Seen) -> None:
    drain = Drain()
    async with listening(streams(drain, seen, 10), drain=drain) as server:
        client = await server.client(GET)
        await seen.began.wait()
        server.server.stop()
        await asyncio.sleep(0.05)
        assert await refuses(server.port)
        assert b"done" in await client.rest()


async def test_before_the_port_closes_answers_say_that_the_connection_ends(seen: Seen) -> None:
    async with listening(echo(seen), pre_stop=0.3) as server:
        idle = await server.client(GET)
        await idle.answer()
        server.server.stop()
        assert await idle.rest() == b""
        late = await server.client(GET)
        data = await late.rest()
        assert data.endswith(b"/a ")
        assert b"connection: close\r\n" in data
        assert await server.task == 0


async def test_a_request_on_its_way_is_still_answered(seen: Seen) -> None:
    async with listening(echo(seen), Limits(linger=0.3)) as server:
        silent, begun, sending = await server.client(), await server.client(GET[:5]), await server.client(post(2))
        await asyncio.sleep(0.05)
        server.server.stop()
        await asyncio.sleep(0.05)
        silent.send(GET)
        begun.send(GET[5:])
        sending.send(b"ok")
        assert (await silent.rest()).endswith(b"/a ")
        assert (await begun.rest()).endswith(b"/a ")
        assert (await sending.rest()).endswith(b"/a ok")
        assert await server.task == 0


async def test_a_silent_connection_does_not_hold_the_server_up(seen: Seen) -> None:
    async with listening(echo(seen), Limits(linger=0.1), window=60) as server:
        await server.client()
        await asyncio.sleep(0.02)
        server.server.stop()
        async with asyncio.timeout(1):
            assert await server.task == 0


async def test_a_call_that_does_not_end_when_cut_is_dropped() -> None:
    ended = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async with listening(app, Limits(linger=0.1, hard_stop=0.1), window=0.1) as server:
        client = await server.client(GET)
        await asyncio.sleep(0.05)
        server.server.stop()
        assert await client.rest() == b""
        assert await server.task == 0
        assert ended.is_set()


async def test_a_call_whose_client_left_ends_before_the_server_does() -> None:
    settled = asyncio.Event()
    began = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        began.set()
        await asyncio.sleep(0.2)
        settled.set()
        await answer(send, b"")

    async with listening(app) as server:
        client = await server.client(GET)
        await began.wait()
        client.reset()
        server.server.stop()
        await server.task
        assert settled.is_set()


async def test_what_registers_after_the_cut_is_cut(seen: Seen) -> None:
    drain = Drain()
    drain.cut()
    drain.on_cut(seen.left.set)
    assert seen.left.is_set()


async def test_what_has_ended_is_not_cut(seen: Seen) -> None:
    drain = Drain()
    drain.on_cut(seen.left.set)()
    drain.cut()
    assert not seen.left.is_set()


async def test_a_taken_port_is_said_plainly() -> None:
    with bind("127.0.0.1", 0) as first:
        first.listen()
        port = first.getsockname()[1]
        server = Server(None, host="127.0.0.1", port=port, limits=Limits(), drain=Drain())
        with pytest.raises(OSError) as raised:
            await server.run(window=1, on_started=lambda url: None)
        assert (raised.value.errno, raised.value.strerror) == (errno.EADDRINUSE, f"port {port} is taken")


@pytest.mark.parametrize(
    ("host", "port", "why"),
    [
        ("192.0.2.1", 8000, "192.0.2.1 is not an address of this machine"),
        ("no such host", 8000, "no such host is not an address"),
    ],
)
async def test_an_address_that_is_none_is_said_plainly(host: str, port: int, why: str) -> None:
    with pytest.raises(OSError) as raised:
        bind(host, port)
    assert raised.value.strerror == why


@pytest.mark.parametrize(
    ("host", "reached"),
    [
        ("127.0.0.1", "http://127.0.0.1:"),
        ("[::1]", "http://[::1]:"),
        ("::", "http://[::1]:"),
        ("0.0.0.0", "http://127.0.0.1:"),
    ],
)
async def test_the_url_is_one_that_can_be_asked(seen: Seen, host: str, reached: str) -> None:
    started: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    server = Server(echo(seen), host=host, port=0, limits=Limits(linger=0.1), drain=Drain())
    task = asyncio.create_task(server.run(window=1, on_started=started.set_result))
    url = await started
    assert url.startswith(reached)
    reader, writer = await asyncio.open_connection(url[7:].rpartition(":")[0].strip("[]"), int(url.rpartition(":")[2]))
    writer.write(GET)
    assert (await reader.readuntil(b"\r\n")).startswith(b"HTTP/1.1 200")
    writer.close()
    await writer.wait_closed()
    server.stop()
    assert await task == 0


async def test_sockets_of_the_owner_are_served(seen: Seen) -> None:
    started: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    server = Server(echo(seen), host="", port=0, limits=Limits(linger=0.1), drain=Drain())
    with bind("127.0.0.1", 0) as sock:
        address = sock.getsockname()
        task = asyncio.create_task(server.run(window=1, on_started=started.set_result, sockets=[sock]))
        await started
        with socket.create_connection(address):
            pass
        server.stop()
        assert await task == 0
