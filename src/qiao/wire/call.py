"""The value that a door makes of a request, once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

import msgspec

from qiao.wire.document import Document

Protocol = Literal["openai", "dashscope"]
# Which native path a model answers on; the OpenAI door has one path for all.
Path = Literal["text", "multimodal"]
Task = Literal["chat", "embedding", "rerank"]
TASKS: tuple[Task, ...] = get_args(Task)


@dataclass(frozen=True, slots=True)
class Principal:
    """Who calls: the id of a client key, or `local` where no keys are configured."""

    id: str = "local"


class Call(msgspec.Struct, frozen=True):
    """One request, parsed at the door; the attempt hands the engine a copy in the engine's protocol."""

    id: str  # a UUID: x-request-id, request_id and chatcmpl-<id>
    protocol: Protocol
    path: Path | None  # the native path asked, None in OpenAI mode
    model: str
    document: Document
    stream: bool
    received: float  # seconds, monotonic
    thinking: bool | None = None  # whether it thinks by the catalogue; None: unknown, or the model cannot
    principal: Principal = Principal()
    task: Task = "chat"
    left_out: int = 0  # messages of its conversation that are not sent on
    headers: Mapping[str, str] = msgspec.field(default_factory=dict[str, str])  # as they came; engines choose
    # Takes what an engine is doing before it answers, for a client that wants to see it: "waiting", "512/2048".
    progress: Callable[[str], None] | None = None

    def with_(self, **changes: Any) -> Call:
        """A copy with these fields changed."""
        return msgspec.structs.replace(self, **changes)
