"""The listening side: the port, the connections, and how to stop without breaking a stream."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import math
import signal
import socket
from collections.abc import Callable, Generator, Sequence
from email.utils import formatdate
from typing import Any, cast

import structlog
from uvicorn.config import Config
from uvicorn.server import ServerState

from qiao.api.drain import Drain
from qiao.api.limits import Limits
from qiao.api.protocol import GuardedProtocol

__all__ = ["Limits", "Server", "bind"]

log = structlog.get_logger("qiao.server")

_BACKLOG = 2048
_INTERRUPT_WINDOW = 5.0  # seconds: whoever presses Ctrl-C sits there and waits
_LAST_MOMENT = 1.0  # seconds for what was cancelled to end
# A client that vanished is found after a minute, whether the server waits for its bytes or for its acknowledgement.
# Connections inherit these from the listening socket.
_TUNING = {"TCP_NODELAY": 1, "TCP_KEEPIDLE": 30, "TCP_KEEPINTVL": 10, "TCP_KEEPCNT": 3, "TCP_USER_TIMEOUT": 60_000}


class Server:
    """Serves an ASGI app until it is told to stop. Starting and closing the app is its owner's part."""

    def __init__(self, app: Any, *, host: str, port: int, limits: Limits, drain: Drain) -> None:
        self._address = host, port
        self._limits = limits
        self._drain = drain
        self._config = Config(
            app,
            http=GuardedProtocol,
            ws="none",
            interface="asgi3",
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
        )
        self._config.load()
        self._state = ServerState()
        self._stopping = asyncio.Event()
        self._hurry = asyncio.Event()
        self._longest = math.inf

    async def run(
        self,
        *,
        window: float,
        on_started: Callable[[str], None],
        pre_stop: float = 0.0,
        sockets: Sequence[socket.socket] | None = None,
    ) -> int:
        """Serve, then drain; the exit status. OSError with a plain `strerror` when the port cannot be opened.

        After SIGTERM, SIGINT or `stop` the port stays open for `pre_stop` seconds, so that a load balancer sees /readyz
        fail; then what runs has `window` seconds before it is cut. A second signal cuts at once.
        """
        _allow_files(self._limits.connections)
        listening = list(sockets) if sockets is not None else [bind(*self._address)]
        loop = asyncio.get_running_loop()
        clock = loop.create_task(self._tell_date())
        servers: list[asyncio.AbstractServer] = []
        try:
            for sock in listening:
                _tune(sock)
                servers.append(await loop.create_server(self._connect, sock=sock, backlog=_BACKLOG))
            with self._signals(loop):
                on_started(_url(listening[0]))
                await self._stopping.wait()
                self._begin()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._hurry.wait(), pre_stop)
                _close(servers, listening)
                await self._finish(min(window, self._longest))
        finally:
            _close(servers, listening)
            clock.cancel()
        return 0

    def stop(self) -> None:
        """Begin to stop; the second time, cut what still runs."""
        if self._stopping.is_set():
            self._hurry.set()
            self._drain.cut()
        self._stopping.set()

    def _connect(self) -> GuardedProtocol:
        return GuardedProtocol(self._config, self._state, self._limits, self._drain)

    def _begin(self) -> None:
        log.info("stopping", requests=self._drain.count)
        self._drain.begin()
        self._shut()

    def _shut(self) -> None:
        for connection in list(self._state.connections):
            connection.shutdown()

    async def _finish(self, window: float) -> None:
        """Wait until all is answered; then cut; then drop."""
        self._shut()
        if not self._hurry.is_set() and await self._drain.idle(window):
            return
        log.warning("cut", requests=self._drain.count)
        self._drain.cut()
        if await self._drain.idle(self._limits.hard_stop):
            return
        log.error("dropped", requests=self._drain.count)
        for connection in list(self._state.connections):
            connection.transport.abort()
        for task in self._state.tasks:
            task.cancel()
        await self._drain.idle(_LAST_MOMENT)

    @contextlib.contextmanager
    def _signals(self, loop: asyncio.AbstractEventLoop) -> Generator[None]:
        def interrupt() -> None:
            self._longest = _INTERRUPT_WINDOW
            self.stop()

        handlers = {signal.SIGTERM: self.stop, signal.SIGINT: interrupt}
        try:
            for number, handler in handlers.items():
                # Only the main thread has signals; elsewhere the owner calls `stop`.
                with contextlib.suppress(ValueError, RuntimeError):
                    loop.add_signal_handler(number, handler)
            yield
        finally:
            for number in handlers:
                with contextlib.suppress(ValueError, RuntimeError):
                    loop.remove_signal_handler(number)

    async def _tell_date(self) -> None:
        while True:
            self._state.default_headers = [(b"date", formatdate(usegmt=True).encode("ascii"))]
            await asyncio.sleep(1)


def bind(host: str, port: int) -> socket.socket:
    """A socket on this address; port 0 takes a free one, `::` takes IPv4 too. OSError says plainly what is wrong."""
    try:
        family, *_, address = socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM)[0]
    except (OSError, UnicodeError) as error:
        raise OSError(errno.EADDRNOTAVAIL, f"{host} is not an address") from error
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, address[0] != "::")
        sock.bind(address)
        sock.setblocking(False)
    except OSError as error:
        sock.close()
        why = {
            errno.EADDRINUSE: f"port {port} is taken",
            errno.EACCES: f"port {port} needs more rights",
            errno.EADDRNOTAVAIL: f"{host} is not an address of this machine",
        }
        raise OSError(error.errno, why.get(error.errno or 0, str(error))) from error
    return sock


def _tune(sock: socket.socket) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _TUNING.items():
        if hasattr(socket, name):  # not every system has all of them
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def _close(servers: Sequence[asyncio.AbstractServer], listening: Sequence[socket.socket]) -> None:
    for server in servers:
        server.close()
    for sock in listening:
        sock.close()


def _url(sock: socket.socket) -> str:
    """Where to ask; a socket on all addresses is reached by the loopback one."""
    host, port = cast(tuple[str, int], sock.getsockname()[:2])
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - nothing is bound here
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _allow_files(connections: int) -> None:
    """Let the process open a file for each connection and one for its engine, as far as the system permits."""
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = 2 * connections + 1024
        if hard != resource.RLIM_INFINITY:
            wanted = min(wanted, hard)
        if soft != resource.RLIM_INFINITY and soft < wanted:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
