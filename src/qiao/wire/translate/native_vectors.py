"""Native DashScope embeddings and reranking to the hub's documents, and the hub's answers back (reference §3.9, §3.10).

Whatever is not named here is carried, and a vector keeps its bytes.
"""

from __future__ import annotations

from typing import Any

import msgspec

from qiao.errors import InvalidParameter, ProtocolBroken, QiaoError
from qiao.wire import dashscope, openai
from qiao.wire import usage as wire_usage
from qiao.wire.call import Task
from qiao.wire.chunks import ABSENT, given
from qiao.wire.document import UNREADABLE, Document
from qiao.wire.usage import Usage

_NATIVE_ONLY = ("output_type", "encoding_format", "model", "input", "query", "documents")
_SPARSE = "Sparse vectors are made by the cloud only: output_type should be 'dense'."


def to_hub(document: Document, task: Task) -> Document:
    """The hub document that asks for the same; InvalidParameter with the reference's texts."""
    asked = document.object("input")
    if asked is None:
        raise InvalidParameter("Field required: input", param="input")
    parameters = document.object("parameters") or Document.build()
    rest = document.without("input", "parameters").merged(parameters.without(*_NATIVE_ONLY))
    if task == "rerank":
        return rest.merged(asked)
    if parameters.get("output_type") not in (None, "dense"):
        raise InvalidParameter(_SPARSE, param="output_type")
    texts, size = asked.raw("texts"), parameters.raw("dimension")
    if texts is None:
        raise InvalidParameter("Field required: input.texts", param="input")
    hub = rest.without("dimension").with_(input=msgspec.Raw(texts))
    return hub if size is None else hub.with_(dimensions=msgspec.Raw(size))


class _Row(msgspec.Struct):
    """One vector or one ranked document."""

    index: int
    embedding: msgspec.Raw = ABSENT
    relevance_score: msgspec.Raw = ABSENT
    document: msgspec.Raw = ABSENT


class _Answer(msgspec.Struct):
    data: list[_Row] | None = None
    results: list[_Row] | None = None
    usage: msgspec.Raw = ABSENT


_answer = msgspec.json.Decoder(_Answer)


class NativeVectors:
    """A hub answer as a native one (a Passage)."""

    content_type = dashscope.JSON

    def __init__(self, call_id: str, task: Task) -> None:
        self.answer_id: str | None = call_id
        self.error: QiaoError | None = None
        self.finished = False
        self.usage: Usage | None = None
        self._call_id = call_id
        self._task = task
        self._pieces: list[bytes] = []

    def feed(self, chunk: bytes) -> bytes:
        self._pieces.append(chunk)
        return b""

    def end(self) -> bytes:
        body = b"".join(self._pieces)
        try:
            answer = _answer.decode(body)
        except UNREADABLE as error:
            raise ProtocolBroken("The engine's answer is not what was asked for.") from error
        rows = answer.results if self._task == "rerank" else answer.data
        if rows is None:
            raise openai.error_in(body) or ProtocolBroken("The engine's answer is not what was asked for.")
        self.usage = wire_usage.read(answer.usage)
        self.finished = True
        output = {"results": [_ranked(row) for row in rows]} if self._task == "rerank" else _embedded(rows)
        usage = {"total_tokens": self.usage.total if self.usage else 0}
        return msgspec.json.encode({"output": output, "usage": usage, "request_id": self._call_id})

    def fail(self, error: QiaoError) -> bytes:
        return dashscope.envelope(error, self._call_id)


def _embedded(rows: list[_Row]) -> dict[str, Any]:
    """The vectors in the order of the texts, for clients read them by position."""
    ordered = sorted(rows, key=lambda row: row.index)
    return {"embeddings": [{"embedding": row.embedding, "text_index": row.index} for row in ordered]}


def _ranked(row: _Row) -> dict[str, Any]:
    ranked: dict[str, Any] = {"index": row.index, "relevance_score": row.relevance_score}
    return {"document": row.document} | ranked if given(row.document) else ranked
