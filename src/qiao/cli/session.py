"""A conversation: its messages, and the file it is kept in."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from qiao.cli.text import say
from qiao.cli.trouble import Trouble

_ROLES = {"system", "user", "assistant", "tool"}
Message = dict[str, Any]


@dataclass(slots=True)
class Session:
    """The turns so far, without the system message, and the question asked last."""

    model: str
    system: str | None = None
    turns: list[Message] = field(default_factory=list[Message])
    question: str | None = None

    @property
    def messages(self) -> list[Message]:
        """What is sent."""
        first: list[Message] = [{"role": "system", "content": self.system}] if self.system else []
        return first + self.turns

    def ask(self, question: str) -> None:
        """Add a question."""
        self.question = question
        self.turns.append({"role": "user", "content": question})

    def answered(self, text: str) -> None:
        """Add the answer, also one that was stopped; without any the question is taken back."""
        if text:
            self.turns.append({"role": "assistant", "content": text})
        else:
            self.turns.pop()

    def again(self) -> str | None:
        """Take back the last question and its answer; the question, None when there is none."""
        while self.turns and self.turns[-1]["role"] != "user":
            self.turns.pop()
        if self.turns:
            content = self.turns.pop()["content"]
            self.question = content if isinstance(content, str) else self.question
        return self.question

    def clear(self) -> None:
        """Forget the turns; model and system message stay."""
        self.turns.clear()
        self.question = None

    def save(self, path: Path) -> None:
        """Write the conversation as JSON, whole or not at all, for the owner's eyes only."""
        text = json.dumps({"model": self.model, "messages": self.messages}, ensure_ascii=False, indent=2)
        try:
            handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
            try:
                with os.fdopen(handle, "w", encoding="utf-8") as file:
                    file.write(text + "\n")
                Path(temporary).replace(path)
            except BaseException:
                with contextlib.suppress(OSError):
                    Path(temporary).unlink()
                raise
        except OSError as error:
            raise Trouble(say("chat.not_saved", path=path, why=error.strerror)) from error

    def load(self, path: Path) -> None:
        """Read a conversation that was saved, or a bare list of messages; on Trouble nothing has changed."""
        try:
            found: Any = json.loads(path.read_text("utf-8"))
        except OSError as error:
            raise Trouble(say("chat.not_loaded", path=path, why=error.strerror)) from error
        except ValueError as error:
            raise Trouble(say("chat.not_json", path=path, why=error)) from error
        fields = cast(dict[str, Any], found) if isinstance(found, dict) else {"messages": found}
        model, messages = fields.get("model"), _messages(fields.get("messages"))
        if messages is None:
            raise Trouble(say("chat.not_messages", path=path))
        system = [str(message["content"]) for message in messages if message["role"] == "system"]
        self.model = model if isinstance(model, str) and model else self.model
        self.system = "\n".join(system) or None
        self.turns = [message for message in messages if message["role"] != "system"]
        self.question = None


def _messages(found: Any) -> list[Message] | None:
    if not isinstance(found, list):
        return None
    messages = cast(list[Any], found)
    return messages if all(_is_message(message) for message in messages) else None


def _is_message(found: Any) -> bool:
    if not isinstance(found, dict):
        return False
    message = cast(Message, found)
    return message.get("role") in _ROLES and isinstance(message.get("content"), str | list | None)
