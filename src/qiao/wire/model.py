"""What a model is and can do: one row of the catalogue, as a value."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from qiao.wire.call import Path

# Whose prices hold: Beijing's, Beijing's but for the names in -us, or the international ones.
Scope = Literal["mainland", "global", "intl"]
Currency = Literal["CNY", "USD"]
Kind = Literal["chat", "embedding", "rerank", "demo"]  # demo: answers chats, and the cloud does not have it
# never: cannot think · off, on: can, and does not or does by default · only: always thinks
Thinking = Literal["never", "off", "on", "only"]


@dataclass(frozen=True, slots=True)
class Sampling:
    """Sampling defaults of a family; None leaves it to the engine."""

    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    repetition_penalty: float | None = None
    presence_penalty: float | None = None


@dataclass(frozen=True, slots=True)
class Tier:
    """One rate of the price book: billionths of a currency per token, for requests up to `up_to` input tokens."""

    up_to: int | None  # None: no upper end
    input: int
    output: int
    output_thinking: int | None = None  # None: the same as output
    cached: int | None = None  # a hit of the implicit cache; None: the usual share of input
    image: int | None = None  # of images and films; None: the same as input
    audio: int | None = None  # None: the same as input
    output_mixed: int | None = None  # text that answers more than text; None: the same as output
    output_audio: int | None = None  # sound, whose text is then free; None: the same as output


@dataclass(frozen=True, slots=True)
class Model:
    """One catalogue row. Lengths in tokens; None where no source gives the figure."""

    name: str
    known: bool = True  # False: made up on the fly for a name that the catalogue does not have
    kind: Kind = "chat"
    path: Path | None = None  # the native path it answers on; None: either
    context: int | None = None
    max_input: int | None = None  # of an embedding or rerank model: of one row
    max_input_thinking: int | None = None  # None: the same as max_input
    max_output: int | None = None
    max_output_thinking: int | None = None  # None: the same as max_output
    max_thought: int | None = None
    thinking: Thinking = "never"
    stream_only: bool = False  # refuses calls that do not stream
    stream_to_think: bool = False  # thinks only in streams (the open hybrid Qwen3 models)
    result_format: Literal["text", "message"] = "message"
    incremental_output: bool = False  # the native stream's default
    cumulative_refused: bool = False  # incremental_output=false is a 400
    sampling: Sampling = Sampling()
    sampling_thinking: Sampling | None = None  # None: the same as sampling
    abilities: frozenset[str] = field(default_factory=frozenset[str])  # tools vision audio video json_object ...
    dimensions: tuple[int, ...] = ()  # of an embedding, the default first
    max_rows: int | None = None  # texts or documents of one embedding or rerank request
    tiers: tuple[Tier, ...] = ()  # Beijing, yuan; empty: no known price
    intl: tuple[Tier, ...] = ()  # Singapore, US dollars
    source: str = ""

    def thinks(self, asked: bool | None) -> bool:
        """Whether a call thinks, given its `enable_thinking`."""
        if self.thinking in {"never", "only"}:
            return self.thinking == "only"
        return self.thinking == "on" if asked is None else asked

    def input_limit(self, thinks: bool) -> int | None:
        """The most input tokens of a call that thinks, or does not."""
        return (self.max_input_thinking if thinks else None) or self.max_input

    def output_limit(self, thinks: bool) -> int | None:
        """The most tokens of an answer, its thought not counted."""
        return (self.max_output_thinking if thinks else None) or self.max_output
