"""`qiao chat`: a conversation in the terminal."""

from __future__ import annotations

import difflib
import re
import signal
import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from qiao.cli import display, meter, place, remote, screen
from qiao.cli.options import Chat
from qiao.cli.place import Place
from qiao.cli.remote import Answer
from qiao.cli.session import Session
from qiao.cli.stream import Heard, listen
from qiao.cli.text import clean, complain, say
from qiao.cli.trouble import Trouble

_command = re.compile(r"(/[a-z]+)(?:\s+(.*))?", re.DOTALL)


def run(options: Chat) -> int:
    """Talk until /exit or Ctrl-D."""
    session = Session(options.model, options.system)
    if options.load is not None:
        session.load(options.load)
    return Conversation(place.find(options), session, options.think).run()


class Conversation:
    """The loop: read, answer, repeat."""

    def __init__(self, at: Place, session: Session, think: bool | None) -> None:
        self._place = at
        self._session = session
        self._think = think
        self._console = screen.console()
        self._names = cache(self._list_models)
        self._noticed = ""
        self._commands: dict[str, Callable[[str], None]] = {
            "/model": self._model,
            "/system": self._system,
            "/save": self._save,
            "/load": self._load,
            "/clear": self._clear,
            "/retry": self._retry,
            "/help": self._help,
            "/exit": self._exit,
        }

    def run(self) -> int:
        """The exit code."""
        read = self._reader()
        self._note(say("chat.welcome", model=self._session.model, place=self._place.base))
        while True:
            try:
                self._take(read().strip())
            except KeyboardInterrupt:
                self._note(say("chat.leave_how"))
            except EOFError:
                return 0
            except Trouble as trouble:
                complain(trouble.sentence)

    def _reader(self) -> Callable[[], str]:
        from qiao.cli import prompt

        if self._console is None or not sys.stdin.isatty():
            return prompt.lines
        return prompt.terminal(place.home(), prompt.Words(self._commands, self._names))

    def _take(self, said: str) -> None:
        command = _command.fullmatch(said)
        if command is None:
            if said:
                self._answer(said)
            return
        act = self._commands.get(command[1])
        if act is None:
            close = difflib.get_close_matches(command[1], self._commands, 1)
            raise Trouble(say("chat.no_command", name=command[1], close=close[0] if close else "/help"))
        act((command[2] or "").strip())

    def _answer(self, question: str) -> None:
        """Ask and show; Ctrl-C ends only the answer, and what has come of it is kept."""
        session, heard = self._session, Heard(self._session.model)
        session.ask(question)
        stopped: list[bool] = []
        try:
            asked = time.monotonic()
            answer = remote.chat(self._place, self._body())
            if answer.notice:
                self._notice(answer.notice)
            with display.pick(self._console, thoughts=True) as shown, _stopping(answer, stopped):
                listen(answer, heard, shown.show, asked)
            self._notice(answer.notice or heard.notice)
        except KeyboardInterrupt:
            stopped.append(True)  # before the first byte there is nothing to end but the waiting
        finally:
            session.answered("".join(heard.text))
        if stopped:
            self._note(say("chat.stopped"))
        self._note(meter.line(heard, self._place))

    def _body(self) -> dict[str, Any]:
        body: dict[str, Any] = {
            "model": self._session.model,
            "messages": self._session.messages,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        return body if self._think is None else body | {"enable_thinking": self._think}

    def _notice(self, notice: str) -> None:
        """What Qiao says about the engine, once."""
        if notice != self._noticed:
            self._noticed = notice
            self._note(notice)

    def _note(self, sentence: str) -> None:
        """Something said by the program, not by the model."""
        if not sentence:
            return
        if self._console is None:
            print(sentence, flush=True)
        else:
            self._console.print(clean(sentence), style="dim", markup=False, highlight=False)

    def _list_models(self) -> list[str]:
        try:
            return [row["id"] for row in remote.models(self._place, wait=3.0)]
        except Trouble:
            return []

    def _model(self, name: str) -> None:
        if not name:
            self._note(say("chat.model_is", model=self._session.model))
            return
        self._session.model = name
        known = name in self._names() or not self._names()
        self._note(say("chat.model_now" if known else "chat.model_unknown", model=name))

    def _system(self, text: str) -> None:
        if text:
            self._session.system = None if text == "-" else text
        now = self._session.system
        self._note(say("chat.system_none") if now is None else say("chat.system_is", text=now))

    def _save(self, name: str) -> None:
        path = _path(name, "/save")
        self._session.save(path)
        self._note(say("chat.saved", path=path, count=len(self._session.turns)))

    def _load(self, name: str) -> None:
        path = _path(name, "/load")
        self._session.load(path)
        self._note(say("chat.loaded", path=path, count=len(self._session.turns), model=self._session.model))

    def _clear(self, _: str) -> None:
        self._session.clear()
        self._note(say("chat.cleared"))

    def _retry(self, _: str) -> None:
        question = self._session.again()
        if question is None:
            raise Trouble(say("chat.nothing_to_retry"))
        self._answer(question)

    def _help(self, _: str) -> None:
        self._note(say("chat.commands"))

    def _exit(self, _: str) -> None:
        raise EOFError


@contextmanager
def _stopping(answer: Answer, stopped: list[bool]) -> Generator[None]:
    """While the answer is read, Ctrl-C ends the reading and nothing else; the connection is closed in any case."""

    def stop(*_: object) -> None:
        stopped.append(True)
        answer.stop()

    before = signal.signal(signal.SIGINT, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        answer.close()


def _path(name: str, command: str) -> Path:
    if not name:
        raise Trouble(say("chat.name_a_file", command=command))
    return Path(name).expanduser()
