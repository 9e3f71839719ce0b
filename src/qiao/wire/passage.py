"""What the bytes of a reply go through on their way to the client: a relay or a translation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from qiao.errors import QiaoError
from qiao.wire.usage import Usage


class Passage(Protocol):
    """Fed with what each read of the engine's answer gave, it returns what the client gets for it (maybe nothing).

    `feed` raises ProtocolBroken for bytes that are not the engine's protocol. `end` is called at a clean end of the
    engine's bytes and raises StreamBroken when the answer is not complete. `fail` renders an error that ends an answer
    already begun. `error` is an error that the engine itself put into its stream; the passage has rendered it already.
    """

    content_type: str
    answer_id: str | None  # the UUID in the bytes that the client gets, once known
    error: QiaoError | None
    finished: bool  # a finish reason, or [DONE], has passed

    @property
    def usage(self) -> Usage | None: ...

    def feed(self, chunk: bytes) -> bytes: ...

    def end(self) -> bytes: ...

    def fail(self, error: QiaoError) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Rendered:
    """A whole answer: what a door sends for an error."""

    status: int
    content_type: str
    body: bytes
    answer_id: str | None = None  # the UUID in a body that an engine wrote
