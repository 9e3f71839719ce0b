"""The value that a door makes of a request, once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from qiao.wire.document import Document

Protocol = Literal["openai", "dashscope"]
# Which native path a model answers on; the OpenAI door has one path for all.
Path = Literal["text", "multimodal"]


@dataclass(frozen=True, slots=True)
class Principal:
    """Who calls: the id of a client key, or `local` where no keys are configured."""

    id: str = "local"


@dataclass(frozen=True, slots=True)
class Call:
    """One chat request, parsed at the door; the attempt hands the engine a copy in the engine's protocol."""

    id: str  # a UUID: x-request-id, request_id and chatcmpl-<id>
    protocol: Protocol
    path: Path | None  # the native path asked, None in OpenAI mode
    model: str
    document: Document
    stream: bool
    received: float  # seconds, monotonic
    thinking: bool | None = None  # whether it thinks by the catalogue; None: unknown, or the model cannot
    principal: Principal = Principal()
    headers: Mapping[str, str] = field(default_factory=dict[str, str])  # as they came, lower-case; engines choose

    def asked(self, model: str, document: Document, thinking: bool | None) -> Call:
        """The copy for an engine that is asked in OpenAI mode; dataclasses.replace takes four times as long."""
        return Call(
            self.id,
            "openai",
            self.path,
            model,
            document,
            self.stream,
            self.received,
            thinking,
            self.principal,
            self.headers,
        )
