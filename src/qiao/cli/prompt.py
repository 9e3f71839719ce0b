"""Where the user types: history, completion, several lines with Alt-Enter or a paste."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Protocol

from prompt_toolkit import PromptSession
from prompt_toolkit.completion import CompleteEvent, Completer, Completion, PathCompleter
from prompt_toolkit.document import Document
from prompt_toolkit.enums import DEFAULT_BUFFER
from prompt_toolkit.filters import has_focus
from prompt_toolkit.history import FileHistory, History, InMemoryHistory
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.shortcuts import CompleteStyle

from qiao.cli.text import say


class Reader(Protocol):
    """Gives what the user says; EOFError at the end, KeyboardInterrupt for Ctrl-C."""

    def __call__(self) -> str: ...


class Words(Completer):
    """Completes commands, the models after /model and paths after /save and /load."""

    def __init__(self, commands: Iterable[str], models: Callable[[], list[str]]) -> None:
        self._commands = sorted(commands)
        self._models = models
        self._paths = PathCompleter(expanduser=True)

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterator[Completion]:
        line = document.text_before_cursor
        command, space, rest = line.partition(" ")
        if not line.startswith("/") or "\n" in line:
            return
        if not space:
            yield from (Completion(name, -len(line)) for name in self._commands if name.startswith(line))
        elif command == "/model":
            yield from (Completion(name, -len(rest)) for name in self._models() if name.startswith(rest))
        elif command in {"/save", "/load"}:
            yield from self._paths.get_completions(Document(rest, len(rest)), complete_event)


def terminal(home: Path, words: Words) -> Reader:
    """A reader with everything that a terminal can do."""
    session: PromptSession[str] = PromptSession(
        history=_history(home),
        completer=words,
        complete_style=CompleteStyle.READLINE_LIKE if os.environ.get("TERM") == "dumb" else CompleteStyle.COLUMN,
        complete_while_typing=False,
        key_bindings=_keys(),
        multiline=True,
        prompt_continuation="… ",
        enable_history_search=False,
    )
    return lambda: session.prompt("› ")


def lines() -> str:
    """The next line of standard input: the reader where there is no terminal."""
    line = sys.stdin.readline()
    if not line:
        raise EOFError
    return line


def _history(home: Path) -> History:
    """The file in the state folder, for its owner only; in memory where it cannot be written."""
    path = home / "chat_history"
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(path, os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600))
    except OSError as error:
        sys.stderr.write(say("chat.no_history", path=path, why=error.strerror) + "\n")
        return InMemoryHistory()
    return FileHistory(str(path))


def _keys() -> KeyBindings:
    keys = KeyBindings()

    def send(event: KeyPressEvent) -> None:
        event.current_buffer.validate_and_handle()

    def new_line(event: KeyPressEvent) -> None:
        event.current_buffer.insert_text("\n")

    typing = has_focus(DEFAULT_BUFFER)  # and not searching the history, where Enter takes what was found
    keys.add("enter", filter=typing)(send)
    keys.add("escape", "enter", filter=typing)(new_line)
    return keys
