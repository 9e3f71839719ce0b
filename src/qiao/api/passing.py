"""The rest of the cloud's API: relayed byte for byte on an allow-list of paths, or refused without the cloud."""

from __future__ import annotations

import re
from collections.abc import Callable

from qiao.api.visit import PASSED_ON, HeaderList, Visit
from qiao.clock import Clock
from qiao.engines.client import Response
from qiao.engines.dashscope import Cloud
from qiao.errors import CallerError, ProtocolBroken, QiaoError, UnknownPath
from qiao.exchange.meter import Passed

_ID = r"[A-Za-z0-9_:-][A-Za-z0-9._:-]{0,199}"  # no dot at its start: `..` would leave the list
# method, path (reference §2.1, §3.1); what is not here does not reach the cloud.
_ALLOWED = [
    (method, re.compile(rf"^(?:{path})$"))
    for method, path in (
        ("POST", r"/compatible-mode/v1/(?:completions|responses|files|batches|systemone)"),
        ("GET", rf"/compatible-mode/v1/(?:files|batches|responses)(?:/{_ID})?"),
        ("GET", rf"/compatible-mode/v1/files/{_ID}/content"),
        ("GET", rf"/compatible-mode/v1/responses/{_ID}/input_items"),
        ("DELETE", rf"/compatible-mode/v1/(?:files|responses)/{_ID}"),
        ("POST", rf"/compatible-mode/v1/batches/{_ID}/cancel"),
        ("POST|GET|DELETE", rf"/compatible-mode/v1/conversations(?:/{_ID}(?:/items(?:/{_ID})?)?)?"),
        ("POST", r"/apps/anthropic/v1/messages(?:/count_tokens)?"),
        ("POST", r"/api/v1/services/[a-z0-9-]+/[a-z0-9-]+/[A-Za-z0-9-]+"),
        ("POST", r"/api/v1/services/audio/[a-z]+/[A-Za-z]+"),
        ("GET", rf"/(?:api|api-task)/v1/tasks(?:/{_ID})?"),
        ("POST", rf"/(?:api|api-task)/v1/tasks/{_ID}/cancel"),
        ("GET|POST", r"/api/v1/(?:files|uploads)"),
        ("GET|DELETE", rf"/api/v1/files/{_ID}"),
        ("POST", rf"/api/v1/apps/{_ID}/completion"),
        ("GET", rf"/compatible-mode/v1/models(?:/{_ID})?"),
        ("GET", r"/api/v1/models"),
        ("POST", r"/api/v1/(?:models/limits|tokenizer)"),
        ("POST", r"/api/v2/apps/protocols/compatible-mode/v1/responses"),
    )
    for method in method.split("|")
]
_PLAIN = "/v1/"
_OF_FILES = {"content-length", "content-disposition", "content-range", "accept-ranges"}
_BACK = frozenset({*PASSED_ON, *_OF_FILES, "x-request-id", "request-id"})


class Passing:
    """Relays to the first cloud engine."""

    def __init__(self, cloud: Cloud | None, clock: Clock, note: Callable[[Passed], None]) -> None:
        self._cloud = cloud
        self._clock = clock
        self._note = note

    async def __call__(self, visit: Visit) -> None:
        """One request for a path that Qiao does not serve itself."""
        path = visit.rest
        if path.startswith(_PLAIN):
            path = f"/compatible-mode{path}"
        if not any(visit.method == method and pattern.match(path) for method, pattern in _ALLOWED):
            raise UnknownPath
        if self._cloud is None:
            raise refusal(visit)
        with visit.attend() as attendance:
            where = f"{path}?{visit.query}" if visit.query else path
            has_body = "content-length" in visit.headers or "transfer-encoding" in visit.headers
            body = visit.pieces() if has_body else b""
            began = self._clock.monotonic()
            response = await self._cloud.forward(visit.method, where, visit.headers, body)
            try:
                await _relay(visit, response)
            finally:
                response.close()
                took = round((self._clock.monotonic() - began) * 1000, 1)
                said = response.headers.get("x-request-id", visit.id)
                at = round(self._clock.time(), 3)
                self._note(Passed(at, said, visit.principal.id, visit.method, path, response.status, took))
        if attendance.ended == "cut":
            await visit.cut(None)


def refusal(visit: Visit) -> QiaoError:
    """What a path of the cloud answers when there is no cloud."""
    hint = f"{visit.path} is answered by the cloud: set DASHSCOPE_API_KEY to relay it."
    if visit.protocol == "dashscope":
        return CallerError(f"url error, please check url！ {hint}", status=400)
    return UnknownPath(f"Not support: {hint}")


async def _relay(visit: Visit, response: Response) -> None:
    if 300 <= response.status < 400:
        raise ProtocolBroken(f"The engine answered with status {response.status}.")
    headers: HeaderList = [
        (name.encode("latin-1"), value.encode("latin-1")) for name, value in response.headers.items() if name in _BACK
    ]
    content_type = response.headers.get("content-type", "application/octet-stream")
    await visit.begin(response.status, content_type, headers)
    visit.unguarded = True
    async for chunk in response.chunks():
        await visit.more(chunk)
    await visit.end()
