"""Engines behind the proxy of the environment."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trustme

from tests.stage import WHOLE, Asked, bridge, scripted

pytestmark = pytest.mark.anyio


@contextlib.asynccontextmanager
async def tunnelling(port: int, refuse: bool = False) -> AsyncIterator[tuple[str, list[str]]]:
    """A proxy that answers CONNECT and leads every tunnel to a local port."""
    seen: list[str] = []
    pumps: set[asyncio.Task[None]] = set()

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65536):
                writer.write(data)
        writer.close()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append((await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")[0])
        if refuse:
            writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n")
            writer.close()
            return
        there = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        pumps.add(asyncio.create_task(pump(reader, there[1])))
        await pump(there[0], writer)

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", seen
    finally:
        server.close()
        await asyncio.gather(*pumps)


@pytest.mark.parametrize("refuse", [False, True])
async def test_tls_goes_through_the_proxys_tunnel(
    refuse: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = trustme.CA()
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("engine.test").configure_cert(tls)
    known = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(known))
    async with scripted(Asked.whole, tls=tls) as engine:
        async with tunnelling(int(engine.url.rsplit(":", 1)[1]), refuse) as (proxy, seen):
            monkeypatch.setenv("HTTPS_PROXY", proxy)
            monkeypatch.setenv("NO_PROXY", "")
            async with bridge(engine="http", engine_url="https://engine.test", ca_file=str(known)) as server:
                answer = await server.chat()
        assert set(seen) == {"CONNECT engine.test:443 HTTP/1.1"}
        assert answer.status == (503 if refuse else 200)
        if not refuse:
            assert answer.body == WHOLE
            assert engine.asked[0].headers["host"] == "engine.test"


async def test_plain_http_names_the_whole_address_to_the_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    async with scripted(Asked.whole) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        monkeypatch.setenv("NO_PROXY", "")
        async with bridge(engines=[{"name": "a", "kind": "openai", "url": "http://engine.test:81/v1"}]) as server:
            assert (await server.chat()).body == WHOLE
        assert proxy.asked[0].path == "http://engine.test:81/v1/chat/completions"
        assert proxy.asked[0].headers["host"] == "engine.test:81"
