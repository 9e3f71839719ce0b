"""Embeddings and reranking by a server that speaks OpenAI's embeddings and Jina's rerank API.

Sources: llama-server, and what is built on it, ignores `dimensions`; llama-server refuses a long text with 500 and
the size of its batch, and gives raw logits for cross-encoders but probabilities for Qwen3-Reranker (its issues); vLLM
names its results alike, SGLang answers with a bare list of `score`s (their source code). Qwen3-Embedding reads a
question as `Instruct: …` and `Query:…` (its model card).
"""

from __future__ import annotations

import math
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from qiao.engines.client import drained
from qiao.engines.connection import Response
from qiao.engines.engine import Reply
from qiao.errors import InputTooLong, InvalidParameter, ProtocolBroken
from qiao.wire import openai, tokens, vectors
from qiao.wire import usage as wire_usage
from qiao.wire.call import Call
from qiao.wire.document import UNREADABLE, Document

# Posts a JSON body to a path of the server, such as /v1/embeddings.
Post = Callable[[str, bytes], Awaitable[Response]]

TASK = "Given a web search query, retrieve relevant passages that answer the query"  # Qwen3-Embedding's own default
UNTOLD = "the model was asked without `instruct`, which this engine does not take"
_INSTRUCTED = re.compile(r"qwen3.*embedding|text-embedding-v4", re.IGNORECASE)
_TOO_LONG = re.compile(rb'too large to process.*current batch size: (\d+)|exceed_context_size.*"n_ctx":\s*(\d+)')


@dataclass(frozen=True, slots=True)
class Manners:
    """What a server sees to by itself."""

    cuts: bool = True  # `dimensions`
    instructs: bool = True  # `instruct`, when it reranks


ALL = Manners()
LLAMA = Manners(cuts=False, instructs=False)


async def answer(call: Call, post: Post, manners: Manners = LLAMA) -> Reply:
    """The server's answer to a call of the embedding or rerank task, in the reference's form.

    Vectors pass byte for byte where nothing is to be done with them. InvalidParameter and InputTooLong for what the
    server refuses; another status is a reply.
    """
    if call.task == "rerank":
        return await _ranking(call, post, manners)
    asked = vectors.embedding(call.document)
    cut = asked.dimensions is not None and not manners.cuts
    document = _instructed(call, asked)
    if cut:
        document = document.without("dimensions", "encoding_format")
    response = await post("/v1/embeddings", document.encode())
    if response.status != 200:
        return await _refused(response)
    if not cut:
        return Reply(response.status, response.headers, response.chunks(), response.close)
    found = await _read(response, _Embeddings)
    rows = [_cut(row.embedding, asked.dimensions or 0) for row in sorted(found.data, key=lambda row: row.index)]
    if len(rows) != len(asked.texts):
        raise ProtocolBroken("The engine did not answer every text.")
    usage = wire_usage.read(found.usage)
    shown = [vectors.packed(row) if asked.base64 else row for row in rows]
    return _whole(vectors.embedding_answer(call.id, call.model, shown, usage.input if usage else 0))


async def _ranking(call: Call, post: Post, manners: Manners) -> Reply:
    asked = vectors.ranking(call.document)
    document = call.document.without("top_n")
    document = document.with_(query=asked.query, documents=asked.documents, return_documents=False)
    response = await post("/v1/rerank", document.encode())
    if response.status != 200:
        return await _refused(response)
    found: _Ranks | list[_Rank] = await _read(response, _Ranks | list[_Rank])
    ranks = found if isinstance(found, list) else found.results
    scores = {rank.index: rank.value for rank in ranks}
    if sorted(scores) != list(range(len(asked.documents))):
        raise ProtocolBroken("The engine did not rank every document.")
    usage = wire_usage.read(found.usage) if isinstance(found, _Ranks) else None
    counted = usage.total if usage else sum(rank.meta_info.prompt_tokens for rank in ranks)
    counted = counted or sum(tokens.estimate(asked.query + text) for text in asked.documents)
    ordered = _probable([scores[at] for at in range(len(asked.documents))])
    reply = _whole(vectors.ranking_answer(call.id, call.model, asked, ordered, counted))
    return replace(reply, notice=UNTOLD) if asked.instruct and not manners.instructs else reply


class _Row(msgspec.Struct):
    embedding: list[float]
    index: int = 0


class _Embeddings(msgspec.Struct):
    data: list[_Row]
    usage: msgspec.Raw = msgspec.Raw(b"null")


class _Counted(msgspec.Struct):
    prompt_tokens: int = 0


class _Rank(msgspec.Struct):
    index: int
    relevance_score: float | None = None
    score: float | None = None
    meta_info: _Counted = msgspec.field(default_factory=_Counted)

    @property
    def value(self) -> float:
        score = self.score if self.relevance_score is None else self.relevance_score
        if score is None:
            raise ProtocolBroken("The engine ranked a document without a score.")
        return score


class _Ranks(msgspec.Struct):
    results: list[_Rank]
    usage: msgspec.Raw = msgspec.Raw(b"null")


async def _read(response: Response, kind: Any) -> Any:
    try:
        return msgspec.json.decode(await response.all(), type=kind)
    except UNREADABLE as error:
        raise ProtocolBroken("The engine's answer is not what was asked for.") from error
    finally:
        response.close()


async def _refused(response: Response) -> Reply:
    body = await drained(response)
    if match := _TOO_LONG.search(body):
        raise InputTooLong(int(match[1] or match[2]))
    error = openai.classify(response.status, response.headers, body, 0.0)
    if response.status in {400, 413, 422}:
        raise InvalidParameter(error.message)
    return replace(Reply.whole(response.status, response.content_type, body), headers=response.headers)


def _whole(body: bytes) -> Reply:
    return Reply.whole(200, openai.JSON, body)


def _instructed(call: Call, asked: vectors.Embedding) -> Document:
    """The request with the questions as Qwen3-Embedding wants them; nothing else says `text_type` and `instruct`."""
    document = call.document.without("text_type", "instruct")
    if not asked.query or not (asked.instruct or _INSTRUCTED.search(call.model)):
        return document
    task = asked.instruct or TASK
    return document.with_(input=[f"Instruct: {task}\nQuery:{text}" for text in asked.texts])


def _cut(vector: list[float], size: int) -> list[float]:
    """The first `size` numbers, again of length 1, as models trained for several sizes (Matryoshka) allow it."""
    if size > len(vector):
        text = f"Value error, dimension {size} is invalid, this model has {len(vector)}.: parameters.dimension"
        raise InvalidParameter(text, param="dimensions")
    if size == len(vector):
        return vector
    length = math.sqrt(sum(value * value for value in vector[:size])) or 1.0
    return [value / length for value in vector[:size]]


def _probable(scores: list[float]) -> list[float]:
    """Scores between 0 and 1: as they are when they all lie there, else logits by the logistic function."""
    if all(0 <= score <= 1 for score in scores):
        return scores
    return [0.5 * (1 + math.tanh(score / 2)) for score in scores]
