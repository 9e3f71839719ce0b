"""The hub's documents for embeddings and reranking: OpenAI's embeddings request, and the cloud's reranks request.

Shapes: reference §2.12 and §2.14. The refusals name fields as the native protocol does, like the cloud's (§4.4).
"""

from __future__ import annotations

import base64
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NoReturn, cast

import msgspec

from qiao.errors import InvalidParameter
from qiao.wire.check_messages import is_list, is_object
from qiao.wire.document import Document

_NO_TEXTS = "Value error, contents is neither str nor list of str.: input.contents"
_ENCODINGS = ("float", "base64")
_TEXT_TYPES = ("query", "document")


@dataclass(frozen=True, slots=True)
class Embedding:
    """Texts to be turned into vectors."""

    texts: list[str]
    dimensions: int | None
    base64: bool
    query: bool  # the texts are questions, not what is searched
    instruct: str | None  # what the questions are for


@dataclass(frozen=True, slots=True)
class Ranking:
    """Documents to be put into the order of their relevance to a query."""

    query: str
    documents: list[str]
    top_n: int
    return_documents: bool
    instruct: str | None


def embedding(document: Document) -> Embedding:
    """An embeddings request; InvalidParameter with the cloud's words for what is no such request."""
    given = document.get("input")
    if given is None:
        _refuse("Field required: input.contents", "input")
    texts = [given] if isinstance(given, str) else given
    if not is_list(texts) or not all(isinstance(text, str) for text in texts):
        _refuse(_NO_TEXTS, "input")
    if not texts:
        _refuse("[] is too short - 'input'", "input")
    dimensions = _value(document, "dimensions", int, "a valid integer", "dimension")
    if dimensions is not None and dimensions < 1:
        _refuse("Input should be greater than 0: parameters.dimension", "dimensions")
    return Embedding(
        texts=cast("list[str]", texts),
        dimensions=dimensions,
        base64=_one_of(document, "encoding_format", _ENCODINGS) == "base64",
        query=_one_of(document, "text_type", _TEXT_TYPES) == "query",
        instruct=_value(document, "instruct", str, "a valid string"),
    )


def ranking(document: Document) -> Ranking:
    """A rerank request; a query or a document may be a text or {"text": …}."""
    for name in ("query", "documents"):
        if document.get(name) is None:
            _refuse(f"Field required: input.{name}", name)
    documents = document.get("documents")
    if not is_list(documents):
        _refuse("Input should be a valid list: input.documents", "documents")
    if not documents:
        _refuse("[] is too short - 'documents'", "documents")
    top_n = _value(document, "top_n", int, "a valid integer")
    if top_n is not None and top_n < 1:
        _refuse("Input should be greater than 0: parameters.top_n", "top_n")
    return Ranking(
        query=_text(document.get("query"), "query"),
        documents=[_text(item, f"documents.{at}") for at, item in enumerate(documents)],
        top_n=len(documents) if top_n is None else min(top_n, len(documents)),
        return_documents=_value(document, "return_documents", bool, "a valid boolean") is True,
        instruct=_value(document, "instruct", str, "a valid string"),
    )


def embedding_answer(ident: str, model: str, rows: Sequence[Any], tokens: int) -> bytes:
    """The answer to an embeddings request; a row is what stands for one text: numbers, or their Base64."""
    data = [{"embedding": row, "index": at, "object": "embedding"} for at, row in enumerate(rows)]
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return msgspec.json.encode({"data": data, "model": model, "object": "list", "usage": usage, "id": ident})


def ranking_answer(ident: str, model: str, asked: Ranking, scores: Sequence[float], tokens: int) -> bytes:
    """The answer to a rerank request: the best first; what scores the same stays in the order of the request."""
    best = sorted(range(len(scores)), key=lambda at: -scores[at])[: asked.top_n]
    results: list[dict[str, Any]] = [{"index": at, "relevance_score": scores[at]} for at in best]
    if asked.return_documents:
        for result in results:
            result["document"] = {"text": asked.documents[result["index"]]}
    usage = {"total_tokens": tokens}
    return msgspec.json.encode({"object": "list", "results": results, "model": model, "id": ident, "usage": usage})


def packed(vector: Sequence[float]) -> str:
    """A vector as `encoding_format: base64` has it: 32-bit floats, least byte first."""
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode("ascii")


def _text(value: Any, where: str) -> str:
    text = value.get("text") if is_object(value) else value
    if not isinstance(text, str):
        _refuse(f"Input should be a valid string: input.{where}", where.partition(".")[0])
    return text


def _value(document: Document, name: str, kind: Any, expected: str, native: str = "") -> Any:
    try:
        return document.get(name, kind)
    except InvalidParameter:
        _refuse(f"Input should be {expected}: parameters.{native or name}", name)


def _one_of(document: Document, name: str, known: tuple[str, str]) -> str | None:
    value = document.get(name)
    if value is not None and value not in known:
        shown = value if isinstance(value, str) else msgspec.json.encode(value).decode()
        _refuse(f"'{name}' Invalid value: '{shown}'. Supported values are: '{known[0]}' and '{known[1]}'.", name)
    return value


def _refuse(text: str, name: str) -> NoReturn:
    raise InvalidParameter(text, param=name)
