"""Say things in Chinese or English."""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from qiao.config import ConfigError
    from qiao.weights.header import BadWeights
    from qiao.weights.hub import NotPulled

Language = Literal["zh", "en"]
LANGUAGES: dict[Language, str] = {"zh": "qiao.cli.chinese", "en": "qiao.cli.english"}
# The server's header has one language.
_NOTICES = {
    "built-in demo model, not Qwen": "notice.demo",
    "simulator: answers are rehearsed, no model runs": "notice.simulator",
}
# Everything by which text from outside could steer a terminal: C0 except tab and newline, DEL, C1.
_controls = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")


class _Spoken:
    """The language of this run and its sentences."""

    language: Language = "en"
    table: Mapping[str, str] | None = None


def take_option(arguments: Sequence[str]) -> tuple[str | None, list[str]]:
    """The value of `--lang`, wherever it stands before a `--`, and the other arguments."""
    end = arguments.index("--") if "--" in arguments else len(arguments)
    for at, argument in enumerate(arguments[:end]):
        if argument.startswith("--lang="):
            return argument.partition("=")[2], [*arguments[:at], *arguments[at + 1 :]]
        if argument == "--lang":
            return "".join(arguments[at + 1 : at + 2]), [*arguments[:at], *arguments[at + 2 :]]
    return None, list(arguments)


def choose(option: str | None, environment: Mapping[str, str]) -> Language:
    """The language by the option, then QIAO_LANG, then the locale (LC_ALL, LC_MESSAGES, LANG)."""
    if option in LANGUAGES:
        return option
    if (asked := environment.get("QIAO_LANG", "")) in LANGUAGES:
        return asked
    locale = environment.get("LC_ALL") or environment.get("LC_MESSAGES") or environment.get("LANG") or ""
    return "zh" if locale.lower().startswith("zh") else "en"


def speak(language: Language) -> None:
    """Set the language of this run."""
    _Spoken.language = language
    _Spoken.table = None


def language() -> Language:
    """The language of this run."""
    return _Spoken.language


def say(key: str, **values: object) -> str:
    """The sentence of a key, with its values filled in."""
    sentence = _table()[key]
    return sentence.format(**values) if values else sentence


def knows(key: str) -> bool:
    """Whether there is a sentence of this key."""
    return key in _table()


def notice(given: str) -> str:
    """What Qiao's server says of its engine, in the language of this run; others' words as they are."""
    return say(_NOTICES[given]) if given in _NOTICES else clean(given)


def told(error: ConfigError | BadWeights | NotPulled) -> str:
    """What is wrong with settings, a model file or a download, in the language of this run."""
    return error.chinese if _Spoken.language == "zh" else str(error)


def _table() -> Mapping[str, str]:
    if _Spoken.table is None:
        table: dict[str, str] = importlib.import_module(LANGUAGES[_Spoken.language]).TEXT
        _Spoken.table = table
        return table
    return _Spoken.table


def clean(text: str) -> str:
    """Text from outside without the characters that steer a terminal."""
    return _controls.sub("", text)


def complain(sentence: str) -> None:
    """One sentence on standard error."""
    sys.stderr.write(f"qiao: {clean(sentence)}\n")
    sys.stderr.flush()
