"""A folder's tokenizer and chat template as facts of a GGUF file.

The vocabulary is read from tokenizer.json, as the Hugging Face library writes it. llama.cpp knows Qwen's way of cutting
text into words by the name `qwen2`; a tokenizer that cuts otherwise is refused, because it would read text wrongly.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from qiao.weights.gguf_file import Fact
from qiao.weights.header import BadWeights
from qiao.weights.shards import decode

# The same as in wire/tokens: Qwen, Qwen2, Qwen2.5 and Qwen3.
WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
NORMAL, CONTROL, USER_DEFINED, UNUSED = 1, 3, 4, 5  # llama.cpp's token types
_LARGEST_TEMPLATE = 2**20


class _Model(msgspec.Struct):
    vocab: dict[str, int]
    merges: list[str | tuple[str, str]]
    type: str = "BPE"


class _Added(msgspec.Struct):
    id: int
    content: str
    special: bool


class _Step(msgspec.Struct):
    """One way of cutting, or several after each other."""

    pattern: dict[str, str] | None = None
    pretokenizers: list[_Step] = []

    def patterns(self) -> list[str]:
        """Every regular expression by which text is cut."""
        own = [self.pattern["Regex"]] if self.pattern and "Regex" in self.pattern else []
        return own + [pattern for step in self.pretokenizers for pattern in step.patterns()]


class _Tokenizer(msgspec.Struct):
    model: _Model
    added_tokens: list[_Added]
    pre_tokenizer: _Step | None = None


class _Named(msgspec.Struct):
    name: str
    template: str


class _Content(msgspec.Struct):
    content: str


class _Settings(msgspec.Struct):
    chat_template: str | list[_Named] | None = None
    bos_token: str | _Content | None = None
    eos_token: str | _Content | None = None
    pad_token: str | _Content | None = None
    add_bos_token: bool = False


class _Ids(msgspec.Struct):
    """Of config.json and generation_config.json; where there are several, the first is the one that counts."""

    bos_token_id: int | list[int] | None = None
    eos_token_id: int | list[int] | None = None
    pad_token_id: int | list[int] | None = None


def facts(folder: Path, size: int) -> dict[str, Fact]:
    """The facts of a vocabulary with `size` places; BadWeights when it does not fit or is not Qwen's kind."""
    path = folder / "tokenizer.json"
    tokenizer = decode(path, _Tokenizer)
    patterns = tokenizer.pre_tokenizer.patterns() if tokenizer.pre_tokenizer else []
    if tokenizer.model.type != "BPE" or WORDS not in patterns:
        raise BadWeights(
            f"{path} is not a tokenizer of Qwen's kind: use the official GGUF.",
            f"{path} 不是 Qwen 的分词器：请使用官方 GGUF。",
        )
    tokens = [f"[PAD{at}]" for at in range(size)]
    types = [UNUSED] * size
    added = {token.content: token.id for token in tokenizer.added_tokens}
    if any(not 0 <= at < size for at in [*tokenizer.model.vocab.values(), *added.values()]):
        raise BadWeights(f"{path} has tokens for which the model has no place.", f"{path} 里的词超出了模型的词表。")
    for token, at in tokenizer.model.vocab.items():
        tokens[at], types[at] = token, NORMAL
    for token in tokenizer.added_tokens:
        tokens[token.id], types[token.id] = token.content, CONTROL if token.special else USER_DEFINED
    merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in tokenizer.model.merges]
    return {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "qwen2",
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": types,
        "tokenizer.ggml.merges": merges,
        **_settings(folder, added, size),
    }


def _settings(folder: Path, added: dict[str, int], size: int) -> dict[str, Fact]:
    """Which tokens begin, end and fill a text, and the chat template; a file that is not there says nothing."""
    path = folder / "tokenizer_config.json"
    settings = decode(path, _Settings) if path.exists() else _Settings()
    sources = [decode(folder / "config.json", _Ids)]
    if (generation := folder / "generation_config.json").exists():
        sources.insert(0, decode(generation, _Ids))
    found: dict[str, Fact] = {"tokenizer.ggml.add_bos_token": settings.add_bos_token}
    for name, key in (("bos", "bos"), ("eos", "eos"), ("pad", "padding")):
        token: str | _Content | None = getattr(settings, f"{name}_token")
        at = added.get(token.content if isinstance(token, _Content) else token or "")
        for source in sources:
            given: int | list[int] | None = getattr(source, f"{name}_token_id")
            first = given[0] if isinstance(given, list) and given else given
            at = first if at is None and isinstance(first, int) else at
        if at is not None and 0 <= at < size:
            found[f"tokenizer.ggml.{key}_token_id"] = at
    if template := _template(folder, settings):
        found["tokenizer.chat_template"] = template
    return found


def _template(folder: Path, settings: _Settings) -> str:
    """The template of a file of its own goes before that of the settings."""
    path = folder / "chat_template.jinja"
    if path.exists():
        if path.stat().st_size > _LARGEST_TEMPLATE:
            raise BadWeights(f"{path} is larger than such a file can be.", f"{path} 大得不像这种文件。")
        return path.read_text("utf-8", "replace")
    if isinstance(settings.chat_template, list):
        return next((named.template for named in settings.chat_template if named.name == "default"), "")
    return settings.chat_template or ""
