"""The interface of an engine, and the reply that it opens."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol, Self

from qiao.wire import call as wire_call
from qiao.wire.checks import Checks
from qiao.wire.model import Model


@dataclass(slots=True)
class Reply:
    """An engine's answer whose status is known. `body` yields what each read gave; `close` frees the engine now."""

    status: int
    headers: Mapping[str, str]  # lower-case names
    body: AsyncIterator[bytes]
    close: Callable[[], None]
    # False: a rehearsed fault must reach the client as it is (the simulator in front).
    guarded: bool = True
    notice: str = ""  # in place of the engine's own, for this reply
    # Bytes to replace in the answer: the engine's own spelling of a field by the reference's.
    rename: Mapping[bytes, bytes] = field(default_factory=dict[bytes, bytes])

    @classmethod
    def whole(cls, status: int, content_type: str, body: bytes) -> Self:
        """A reply whose body is here already."""
        return cls(status, {"content-type": content_type}, _once(body), lambda: None)

    @property
    def content_type(self) -> str:
        return self.headers.get("content-type", "")

    @property
    def streamed(self) -> bool:
        return "text/event-stream" in self.content_type


async def _once(body: bytes) -> AsyncIterator[bytes]:
    yield body


@dataclass(frozen=True, slots=True)
class Health:
    """Whether a question can be answered now, and if not, what to do."""

    ready: bool
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Traits:
    """What the exchange must know of an engine before it opens a call."""

    protocols: frozenset[wire_call.Protocol] = frozenset({"openai"})
    checks: Checks = "types"  # how much is checked before this engine is asked
    attempts: int = 3  # tries of one call on this engine, the first included
    any_model: bool = False  # passes on names that the catalogue does not know
    usage_in_frames: bool = False  # understands stream_options.continuous_usage_stats
    rehearsal: bool = False  # its faults are meant: they are neither retried nor remembered
    notice: str = ""  # said in the response header x-qiao-notice and in GET models
    tasks: frozenset[wire_call.Task] = frozenset({"chat"})

    def does(self, task: wire_call.Task, model: Model) -> bool:
        """Whether it may be asked this of a model; an engine of any model knows best what its models are for."""
        return task in self.tasks and (self.any_model or model.serves(task))


class Engine(Protocol):
    """What answers a call. `open` raises an EngineError when there is no answer, and returns any answer, also 4xx."""

    name: str

    @property
    def traits(self) -> Traits: ...

    async def open(self, call: wire_call.Call) -> Reply: ...

    async def models(self) -> list[str]: ...

    async def health(self) -> Health: ...

    async def close(self) -> None: ...
