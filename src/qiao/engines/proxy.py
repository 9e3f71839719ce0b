"""The proxy of the environment (HTTP_PROXY, HTTPS_PROXY, NO_PROXY), read with the standard library's rules."""

from __future__ import annotations

import asyncio
import ssl
import urllib.request
from typing import Self
from urllib.parse import urlsplit

from qiao.engines.connection import MAX_HEAD, Connection


class Proxy:
    """Which requests go through a proxy; loopback and Unix sockets never do."""

    def __init__(self, addresses: dict[str, tuple[str, int]]) -> None:
        self._addresses = addresses

    @classmethod
    def from_environment(cls) -> Self:
        """The proxies for http and https that are named in the environment."""
        addresses: dict[str, tuple[str, int]] = {}
        for scheme, address in urllib.request.getproxies().items():
            parts = urlsplit(address if "://" in address else f"http://{address}")
            if scheme in {"http", "https"} and parts.scheme == "http" and parts.hostname:
                addresses[scheme] = (parts.hostname, parts.port or 80)
        return cls(addresses)

    def address(self, scheme: str, host: str) -> tuple[str, int] | None:
        """Where to connect instead of to `host`, or None."""
        if not self._addresses or host in {"localhost", "::1"} or host.startswith("127."):
            return None
        if urllib.request.proxy_bypass(host):
            return None
        return self._addresses.get(scheme)

    def forwards(self, scheme: str, host: str, path: str | None) -> bool:
        """Whether the request line must name the whole address (plain http through a proxy)."""
        return scheme == "http" and path is None and self.address(scheme, host) is not None


class _Answer(asyncio.Protocol):
    """Waits for the head of a proxy's answer to CONNECT."""

    def __init__(self) -> None:
        self.status: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._head = b""

    def data_received(self, data: bytes) -> None:
        self._head += data
        if not self.status.done() and (b"\r\n\r\n" in self._head or len(self._head) > MAX_HEAD):
            self.status.set_result(self._head.split(b"\r\n", 1)[0])

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.status.done():
            self.status.set_exception(OSError("the proxy closed the connection"))


async def tunnel(proxy: tuple[str, int], host: str, port: int, tls: ssl.SSLContext) -> Connection:
    """A TLS connection to host:port through the proxy's CONNECT; OSError when the proxy refuses."""
    loop = asyncio.get_running_loop()
    plain, answer = await loop.create_connection(_Answer, *proxy)
    try:
        plain.write(f"CONNECT {host}:{port} HTTP/1.1\r\nhost: {host}:{port}\r\n\r\n".encode("ascii"))
        status = await answer.status
        if status.split(b" ")[1:2] != [b"200"]:
            raise OSError(f"the proxy refused: {status[:100].decode('latin-1')}")
        connection = Connection()
        transport = await loop.start_tls(plain, connection, tls, server_hostname=host)
    except BaseException:
        plain.abort()
        raise
    if transport is None:
        raise OSError("the proxy closed the connection")
    connection.connection_made(transport)
    return connection
