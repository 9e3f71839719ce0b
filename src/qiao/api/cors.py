"""Cross-origin rules: none unless configured, then an exact list or an explicit `*`, never with credentials."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from qiao.api.visit import HeaderList, Visit

_METHODS = b"GET, POST, DELETE, OPTIONS"
_EXPOSED = b"x-request-id, x-qiao-engine, x-qiao-notice, x-qiao-cost, x-qiao-left-out, retry-after"


class Cors:
    """Decides by the Origin header."""

    def __init__(self, origins: Sequence[str]) -> None:
        self._any = "*" in origins
        self._origins = frozenset(origins)

    def headers(self, origin: str | None) -> HeaderList:
        """What an answer to this origin carries, errors included."""
        varies: HeaderList = [(b"vary", b"Origin")] if self._origins and not self._any else []
        if origin is None or not self.allows(origin):
            return varies
        allowed = b"*" if self._any else origin.encode("latin-1")
        return [(b"access-control-allow-origin", allowed), (b"access-control-expose-headers", _EXPOSED), *varies]

    def allows(self, origin: str | None) -> bool:
        """Whether pages of this origin may call."""
        return self._any or origin in self._origins

    def is_preflight(self, visit: Visit) -> bool:
        """Whether this is a browser's question for leave, which is answered without a key."""
        asks = visit.method == "OPTIONS" and "access-control-request-method" in visit.headers
        return asks and bool(self._origins)

    async def preflight(self, visit: Visit) -> None:
        """Answer it; without the allow-origin header the browser stops."""
        asked = visit.headers.get("access-control-request-headers", "")
        await visit.answer(
            204,
            "text/plain",
            b"",
            [
                (b"access-control-allow-methods", _METHODS),
                (b"access-control-allow-headers", asked.encode("latin-1") or b"authorization, content-type"),
                (b"access-control-max-age", b"600"),
            ],
        )
