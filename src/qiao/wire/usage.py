"""One vocabulary of token counts."""

from __future__ import annotations

from typing import Any

import msgspec


class Usage(msgspec.Struct, frozen=True, omit_defaults=True):
    """Token counts of one call. Input includes cached and cache_written; output includes reasoning."""

    input: int = 0
    output: int = 0
    cached: int = 0
    reasoning: int | None = None  # None: the model does not think; 0: it could have
    images: int | None = None
    estimated: bool = False
    cache_written: int = 0  # input that an explicit cache keeps for later
    cache_explicit: bool = False  # whose rates hold for cached: a call uses the explicit cache or the implicit one
    films: int = 0
    audio: int = 0
    output_audio: int = 0
    searches: int = 0  # how often the web was searched
    search_strategy: str = ""

    @property
    def total(self) -> int:
        return self.input + self.output


class _Details(msgspec.Struct):
    cached_tokens: int | None = None
    cache_creation_input_tokens: int | None = None
    cache_type: Any = None
    reasoning_tokens: int | None = None
    image_tokens: int | None = None
    video_tokens: int | None = None
    audio_tokens: int | None = None


class _Search(msgspec.Struct):
    count: int = 0
    strategy: str = ""


class _Plugins(msgspec.Struct):
    search: _Search | None = None


class _Wire(msgspec.Struct):
    """Both protocols' spellings; an absent side stays zero."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    image_tokens: int | None = None
    video_tokens: int | None = None
    audio_tokens: int | None = None
    plugins: _Plugins | None = None
    prompt_tokens_details: _Details | None = None
    completion_tokens_details: _Details | None = None
    input_tokens_details: _Details | None = None
    output_tokens_details: _Details | None = None


_wire = msgspec.json.Decoder(_Wire)
_MAX = 2**53


def read(raw: bytes | msgspec.Raw) -> Usage | None:
    """The counts of a `usage` object of either protocol, clamped to sane ones; None when it is not one."""
    try:
        wire = _wire.decode(raw)
    except msgspec.DecodeError:
        return None
    prompt = wire.prompt_tokens_details or wire.input_tokens_details or _Details()
    completion = wire.completion_tokens_details or wire.output_tokens_details or _Details()
    search = (wire.plugins and wire.plugins.search) or _Search()
    return Usage(
        input=_clamp(wire.prompt_tokens if wire.prompt_tokens is not None else wire.input_tokens),
        output=_clamp(wire.completion_tokens if wire.completion_tokens is not None else wire.output_tokens),
        cached=_clamp(prompt.cached_tokens),
        reasoning=None if completion.reasoning_tokens is None else _clamp(completion.reasoning_tokens),
        cache_written=_clamp(prompt.cache_creation_input_tokens),
        cache_explicit=prompt.cache_type == "ephemeral",
        images=wire.image_tokens if wire.image_tokens is not None else prompt.image_tokens,
        films=_clamp(wire.video_tokens if wire.video_tokens is not None else prompt.video_tokens),
        audio=_clamp(wire.audio_tokens if wire.audio_tokens is not None else prompt.audio_tokens),
        output_audio=_clamp(completion.audio_tokens),
        searches=_clamp(search.count),
        search_strategy=search.strategy,
    )


def _clamp(count: int | None) -> int:
    return min(max(count or 0, 0), _MAX)
