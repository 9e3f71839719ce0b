"""What an attempt sends and what its answer goes through: relay where the protocols agree, else the translator."""

from __future__ import annotations

from typing import Any, cast

import msgspec

from qiao.engines.engine import Engine, Reply
from qiao.errors import AccessDenied, InvalidParameter, ProtocolBroken, QiaoError, UnknownModel
from qiao.gate.routes import Route, Target
from qiao.wire import checks, dashscope, openai, tokens, vector_checks
from qiao.wire.call import Call
from qiao.wire.document import Document
from qiao.wire.model import Model
from qiao.wire.passage import Passage
from qiao.wire.translate import native_call, native_vectors
from qiao.wire.translate.native_reply import NativeReply
from qiao.wire.translate.native_vectors import NativeVectors

MAX_REFUSAL = 2**20
_WRONG_PATH = (
    "url error, please check url！ For details, see: https://help.aliyun.com/zh/model-studio/error-code#error-url"
)


class Outbound(msgspec.Struct, frozen=True):
    """The call as an engine gets it, and what must be known to read its answer."""

    call: Call
    hub: Document  # the hub document that the checks look at; the call's own where the cloud checks itself
    options: native_call.Options | None  # set when the answer is translated to the native protocol
    hide_usage: bool
    rename_model: tuple[str, str] | None  # (the engine's name, the name asked)


def outbound(call: Call, route: Route, target: Target, engine: Engine) -> Outbound:
    """The call in the engine's protocol, with the engine's model name, asking for the usage that settlement needs."""
    renamed = None if target.model == call.model else (target.model, call.model)
    if call.protocol in engine.traits.protocols and call.protocol == "dashscope":
        document = call.document.with_(model=target.model) if renamed else call.document
        return Outbound(call.with_(model=target.model, document=document), document, None, False, renamed)
    if call.task != "chat":
        document = _vectors(call).with_(model=target.model) if renamed else _vectors(call)
        asked = call.with_(protocol="openai", model=target.model, document=document)
        return Outbound(asked, document, None, False, renamed)
    options: native_call.Options | None = None
    document = call.document
    if call.protocol == "dashscope":
        _right_path(call, route.model)
        document = native_call.to_hub(document, call.path or "text")
    thinking = None if engine.traits.checks == "none" else _thinking(document, route.model)
    if call.protocol == "dashscope":
        options = native_call.options(call.document, route.model, streamed=call.stream, thinking=thinking or False)
        document = document.with_(stream=call.stream)
    hide = False
    if call.stream:
        document, hide = _with_usage(document, running=options is not None and engine.traits.usage_in_frames)
    if renamed:
        document = document.with_(model=target.model)
    asked = call.with_(protocol="openai", model=target.model, document=document, thinking=thinking)
    return Outbound(asked, document, options, hide, renamed)


def passage(call: Call, sent: Outbound, reply: Reply) -> Passage:
    """The passage for a reply; ProtocolBroken when it is neither events nor JSON."""
    rename = dict(reply.rename)
    if sent.rename_model:
        theirs, asked = (Document.build(model=name).encode()[1:-1] for name in sent.rename_model)
        rename |= {theirs: asked, theirs.replace(b":", b": ", 1): asked}
    if not reply.streamed and "json" not in reply.content_type:
        raise ProtocolBroken(f"The engine answered with {reply.content_type[:60] or 'no content type'}.")
    if call.task != "chat" and sent.call.protocol == "openai":
        native = call.protocol == "dashscope"
        return NativeVectors(call.id, call.task) if native else openai.BodyRelay(call.id, task=call.task, rename=rename)
    if sent.options is not None:
        return NativeReply(
            call.id,
            call.path or "text",
            sent.options,
            streamed=call.stream,
            thinking=bool(sent.call.thinking),
            prompt_estimate=tokens.estimate(len(sent.hub.raw("messages") or b"")),
        )
    if call.protocol == "dashscope":
        return dashscope.NativeRelay(call.id, streamed=reply.streamed)
    if reply.streamed:
        return openai.EventRelay(call.id, hide_usage=sent.hide_usage, rename=rename)
    return openai.BodyRelay(call.id, rename=rename)


def unserved(call: Call, model: Model | None = None) -> QiaoError:
    """What a caller hears when no engine is left: the model is for something else, or what to do."""
    if call.task == "chat":
        return UnknownModel(param=call.model)
    if model is None or model.serves(call.task):
        advice = "set DASHSCOPE_API_KEY for the cloud, or add an engine that has such a model"
        return UnknownModel(f"No engine here answers {call.task} calls for the model {call.model}: {advice}.")
    if call.protocol == "dashscope":
        return InvalidParameter(_WRONG_PATH)
    text = f"Unsupported model {call.model} for OpenAI compatibility mode."
    return UnknownModel(text, code="model_not_supported")


async def refusal(call: Call, reply: Reply, now: float) -> QiaoError:
    """The error that an answer other than 200 stands for."""
    body = bytearray()
    async for chunk in reply.body:
        body += chunk
        if len(body) > MAX_REFUSAL:
            reply.close()
            break
    protocol = dashscope if call.protocol == "dashscope" else openai
    return protocol.classify(reply.status, reply.headers, bytes(body), now)


def check(sent: Outbound, model: Model, level: checks.Checks, *, stream: bool) -> None:
    """Refuse what the engine would not notice."""
    if sent.call.task != "chat":
        vector_checks.check(sent.hub, sent.call.task, model, level)
    else:
        size = _input_tokens(sent.hub, model) if level == "cloud" else None
        checks.check(sent.hub, model, level, stream=stream, input_tokens=size)


def _input_tokens(hub: Document, model: Model) -> int | None:
    """The tokens of all texts, counted only when they could be over the model's limit: a token has a byte or more."""
    raw = hub.raw("messages") or b""
    if model.max_input is None or len(raw) <= min(model.max_input, model.input_limit(True) or model.max_input):
        return None
    texts: list[str] = []
    for message in hub.get("messages", list[dict[str, Any]]) or ():
        content = message.get("content")
        for part in cast("list[Any]", content) if isinstance(content, list) else [content]:
            text = cast("dict[str, Any]", part).get("text") if isinstance(part, dict) else part
            texts.append(text if isinstance(text, str) else "")
    return tokens.count("\n".join(texts))


def _right_path(call: Call, model: Model) -> None:
    """A model answers on exactly one native path (reference §3.1); the cloud says so itself."""
    if model.known and model.path not in {None, call.path}:
        raise InvalidParameter(_WRONG_PATH)


def _vectors(call: Call) -> Document:
    """The hub document of an embeddings or rerank call."""
    if call.protocol == "openai":
        return call.document
    if call.headers.get("x-dashscope-async", "").lower() == "enable":
        raise AccessDenied("Current user api does not support asynchronous calls.")
    return native_vectors.to_hub(call.document, call.task)


def _thinking(document: Document, model: Model) -> bool | None:
    if model.thinking == "never":
        return None
    asked = document.get("enable_thinking", bool)
    if asked is None and document.get("reasoning_effort") == "none":
        asked = False
    return model.thinks(asked)


def _with_usage(document: Document, *, running: bool) -> tuple[Document, bool]:
    """Ask for usage in the stream; True when the client did not, so that it must be hidden again."""
    given = document.object("stream_options")
    wanted = given is not None and given.get("include_usage", bool) is True
    options = (given or Document.build()).with_(include_usage=True)
    if running:
        options = options.with_(continuous_usage_stats=True)
    elif wanted:
        return document, False
    return document.with_(stream_options=options), not wanted
