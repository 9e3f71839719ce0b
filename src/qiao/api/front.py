"""The ASGI application: who may come in, which door, and what happens when a door fails."""

from __future__ import annotations

import re
import traceback
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import structlog
from starlette.routing import Route, Router

from qiao.api.cors import Cors
from qiao.api.shelter import Shelter
from qiao.api.visit import Receive, Send, Visit
from qiao.errors import AccessDenied, Defect, Draining, ForbiddenHost, QiaoError, UnknownPath, WrongMethod
from qiao.gate.keys import Keys

Handler = Callable[[Visit], Awaitable[None]]
_HOST = re.compile(r"^(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.\-]+)(:\d{1,5})?$")
_HARMLESS = {"GET", "HEAD", "OPTIONS"}
log = structlog.get_logger("qiao.api")


@dataclass(frozen=True, slots=True)
class Door:
    """A path, the methods that it takes, and whether a client key is needed."""

    path: str
    handler: Handler
    methods: tuple[str, ...] = ("POST",)
    needs_key: bool = True

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """As the end of a route."""
        await self.enter(scope["qiao.visit"], scope["qiao.keys"])

    async def enter(self, visit: Visit, keys: Keys) -> None:
        """Check method and key, and answer."""
        if visit.method not in self.methods:
            raise WrongMethod(f"Request method '{visit.method}' is not supported.")
        if self.needs_key:
            visit.principal = keys.principal(visit.headers.get("authorization"), visit.headers.get("x-api-key"))
        await self.handler(visit)


class Front:
    """Checks Host and origin, finds the door, and renders every error in the protocol that was spoken."""

    def __init__(self, doors: Sequence[Door], keys: Keys, shelter: Shelter, cors: Cors, hosts: frozenset[str]) -> None:
        # A route that is a plain path is found by a look, without the router's walk.
        self._plain = {door.path: door for door in doors if "{" not in door.path}
        self._router = Router([Route(door.path, endpoint=door) for door in doors], redirect_slashes=False)
        self._router.default = _nowhere
        self._keys = keys
        self._shelter = shelter
        self._cors = cors
        self._hosts = frozenset(_name(host) or host.lower() for host in hosts)

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            return
        visit = Visit(scope, receive, send, self._shelter)
        self._shelter.drain.begun()
        try:
            self._admit(visit)
            if self._cors.is_preflight(visit):
                await self._cors.preflight(visit)
            elif (door := self._plain.get(visit.path)) is not None:
                await door.enter(visit, self._keys)
            else:
                scope["qiao.visit"], scope["qiao.keys"] = visit, self._keys
                await self._router(scope, receive, send)
        except QiaoError as error:
            if isinstance(error, Defect):
                _report(visit, error)
            if not (visit.unguarded and visit.started):  # else the server breaks the connection off, as it should
                await visit.refuse(error)
        except Exception as defect:
            _report(visit, defect)
            await visit.refuse(Defect())
        finally:
            self._shelter.release(visit.held)
            self._shelter.drain.ended()

    def _admit(self, visit: Visit) -> None:
        """The Host allow-list (DNS rebinding), the origin, and the drain."""
        name = _name(visit.headers.get("host", ""))
        # Its own address is safe to answer to: a page that rebinds a name sends that name.
        if name not in self._hosts and name != visit.scope["server"][0]:
            raise ForbiddenHost("This Host name is not allowed here. Add it to QIAO_ALLOWED_HOSTS if it is yours.")
        origin = visit.headers.get("origin")
        visit.extra = self._cors.headers(origin)
        # Where no key is needed, a page of any other site could have the browser ask and the operator pay, unseen.
        foreign = visit.headers.get("sec-fetch-site") == "cross-site" and not self._cors.allows(origin)
        if foreign and not self._keys and visit.method not in _HARMLESS:
            raise AccessDenied(
                "Pages of other sites may not call here. Add the origin to QIAO_CORS_ORIGINS if it is yours."
            )
        if self._shelter.drain.state == "cutting" and not visit.path.endswith("z"):
            raise Draining("The server is stopping.", retry_after=1.0)


@lru_cache(256)
def _name(host: str) -> str:
    """The name or address in a Host header, without its port; empty when it is none."""
    match = _HOST.match(host)
    return match[1].strip("[]").lower() if match else ""


def _report(visit: Visit, defect: BaseException) -> None:
    """Log a defect by its types and places; what the exceptions say may hold a prompt or a key."""
    places: list[str] = []
    error: BaseException | None = defect
    while error is not None:
        frames = traceback.extract_tb(error.__traceback__)
        places += [type(error).__name__, *(f"  {frame.filename}:{frame.lineno} {frame.name}" for frame in frames)]
        error = error.__cause__ or error.__context__
    log.error("defect", request_id=visit.id, path=visit.path, traceback="\n".join(places))


async def _nowhere(scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
    raise UnknownPath
