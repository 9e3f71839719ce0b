"""The doors that tell: models and tokens."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, cast
from urllib.parse import parse_qs

import msgspec

from qiao.api.visit import Visit
from qiao.engines.engine import Engine
from qiao.errors import InvalidParameter, MalformedBody, UnknownModel
from qiao.gate.catalog import Catalog
from qiao.gate.routes import Routes
from qiao.wire import openai, tokens
from qiao.wire.call import TASKS
from qiao.wire.document import Document

# `created` of a name that no engine dates; the reference gives no figure to copy.
_CREATED = 1735689600
_LONGEST = 4_000_000  # characters: more than a million tokens of any language, the most that a chat model reads


class Listings:
    """Answers GET models in both protocols and POST tokenizer."""

    def __init__(self, engines: Sequence[Engine], routes: Routes, catalog: Catalog) -> None:
        self._engines = engines
        self._routes = routes
        self._catalog = catalog

    async def models(self, visit: Visit) -> None:
        """GET models of OpenAI mode."""
        rows = await self._rows()
        await _json(visit, {"object": "list", "data": rows})

    async def model(self, visit: Visit) -> None:
        """GET models/{id}."""
        name = str(visit.scope["path_params"]["name"])
        for row in await self._rows():
            if row["id"] == name:
                await _json(visit, row)
                return
        self._routes.find(name)
        if not self._catalog.find(name).known:
            raise UnknownModel(param=name)
        await _json(visit, _row(name, "system"))

    async def native(self, visit: Visit) -> None:
        """GET /api/v1/models, by pages."""
        query = parse_qs(visit.query)
        number, size = _positive(query, "page_no", 1, 10_000), _positive(query, "page_size", 10, 100)
        rows = await self._rows()
        wanted = query.get("model", [""])[0]
        if wanted:
            rows = [row for row in rows if row["id"] == wanted]
        page = rows[(number - 1) * size : number * size]
        models = [{"model": row["id"], "name": row["id"], "description": row.get("notice", "")} for row in page]
        output = {"total": len(rows), "page_no": number, "page_size": size, "models": models}
        await _json(visit, {"request_id": visit.id, "output": output})

    async def tokenizer(self, visit: Visit) -> None:
        """POST /api/v1/tokenizer: the tokens of a text, without those of the template (reference §3.11)."""
        document = Document.parse(await visit.body())
        if not document.get("model"):
            raise MalformedBody("Model can not be null.")
        given = document.object("input")
        if given is None:
            raise InvalidParameter("Required parameter(input) missing or invalid, please check the request parameters.")
        text = _text(given)
        if len(text) > _LONGEST:
            raise InvalidParameter(f"Range of input length should be [1, {_LONGEST}] characters")
        # In a thread: a long text takes a second, in which the others' streams go on.
        ids = await asyncio.to_thread(tokens.encode, text)
        output = {"token_ids": ids, "tokens": await asyncio.to_thread(tokens.spelled, ids)}
        await _json(visit, {"output": output, "usage": {"input_tokens": len(ids)}, "request_id": visit.id})

    async def _rows(self) -> list[dict[str, Any]]:
        """One row per name: what the engines list, then what configuration adds, each once."""
        rows: dict[str, dict[str, Any]] = {}
        for engine in self._engines:
            notice = engine.traits.notice
            for name in await engine.models():
                rows.setdefault(name, _row(name, engine.name if notice else "system", notice))
            if not engine.traits.any_model:
                for name in [
                    name for task in TASKS if task in engine.traits.tasks for name in self._catalog.names(task)
                ]:
                    rows.setdefault(name, _row(name, engine.name if notice else "system", notice))
        for name in self._routes.names():
            rows.setdefault(name, _row(name, "system"))
        return list(rows.values())


def _row(name: str, owner: str, notice: str = "") -> dict[str, Any]:
    row: dict[str, Any] = {"id": name, "object": "model", "created": _CREATED, "owned_by": owner}
    return row | {"notice": notice} if notice else row


def _positive(query: Mapping[str, list[str]], name: str, default: int, most: int) -> int:
    text = query.get(name, [str(default)])[0]
    if len(text) > 9 or not text.isascii() or not text.isdigit() or not 1 <= int(text) <= most:
        raise InvalidParameter(f"{name} should be in [1, {most}]", param=name)
    return int(text)


def _text(given: Document) -> str:
    """The text of `prompt`, or of all messages."""
    prompt = given.get("prompt")
    if isinstance(prompt, str):
        return prompt
    messages: Any = given.get("messages")
    if not isinstance(messages, list) or not messages:
        raise InvalidParameter('Either "prompt" or "messages" must exist and cannot both be none')
    pieces: list[str] = []
    for message in cast("list[Any]", messages):
        content = cast("dict[str, Any]", message).get("content") if isinstance(message, dict) else None
        parts = cast("list[Any]", content) if isinstance(content, list) else [content]
        for part in parts:
            text = cast("dict[str, Any]", part).get("text") if isinstance(part, dict) else part
            if not isinstance(text, str):
                raise InvalidParameter("input content must be a string.")
            pieces.append(text)
    return "".join(pieces)


async def _json(visit: Visit, value: dict[str, Any]) -> None:
    await visit.answer(200, openai.JSON, msgspec.json.encode(value))
