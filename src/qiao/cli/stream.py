"""Read one streamed answer: its thought and text as they come, its counts and its times."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Literal

from qiao.cli.remote import Answer, error_of
from qiao.cli.text import knows, notice, say
from qiao.cli.trouble import Trouble
from qiao.errors import ProtocolBroken
from qiao.wire import chunks, sse
from qiao.wire.chunks import Chunk
from qiao.wire.usage import Usage

Kind = Literal["thought", "text", "progress"]  # progress: what the server does before the answer begins
_BAR = 20  # characters


@dataclass(slots=True)
class Heard:
    """What has been heard of one answer. Times in seconds since it was asked."""

    model: str
    text: list[str] = field(default_factory=list[str])
    thoughtful: bool = False
    usage: Usage | None = None
    finish: str | None = None
    engine: str = ""
    notice: str = ""  # said when the stream had begun already
    first: float | None = None
    last: float | None = None

    def take(self, chunk: Chunk, now: float) -> Iterator[tuple[Kind, str]]:
        """Note one chunk and give what it adds to show."""
        self.usage = chunk.counts or self.usage
        for choice in chunk.choices or ():
            self.finish = choice.finish_reason or self.finish
            added = choice.added
            if added.thought or added.content:
                self.first = now if self.first is None else self.first
                self.last = now
            if added.thought:
                self.thoughtful = True
                yield "thought", added.thought
            if added.content:
                self.text.append(added.content)
                yield "text", added.content


def listen(answer: Answer, heard: Heard, show: Callable[[Kind, str], None], asked: float) -> None:
    """Read the answer to its end, streamed or not; Trouble when the server ends it with an error."""
    heard.engine = answer.engine
    try:
        for data in _events(answer, lambda line: _remark(line, heard, show)):
            chunk = chunks.read(data)
            if chunks.given(chunk.error):
                raise Trouble(say("refusal.broken", message=error_of(data)[1] or "-"))
            for kind, piece in heard.take(chunk, time.monotonic() - asked):
                show(kind, piece)
    except ProtocolBroken:
        raise Trouble(say("refusal.not_api")) from None
    if heard.finish is None and not answer.stopped:
        raise Trouble(say("refusal.incomplete"))


def _events(answer: Answer, remark: Callable[[str], None]) -> Iterator[bytes]:
    """The data of each event; the whole body of an answer that is not streamed. Comments go to `remark`."""
    if not answer.streamed:
        yield answer.body()
        return
    splitter = sse.Splitter()
    for piece in answer.pieces():
        for frame in splitter.frames(piece):
            data = sse.data(frame)
            if data == b"[DONE]":
                return
            if data is not None:
                yield data
            else:
                for line in frame.decode("utf-8", "replace").splitlines():
                    remark(line.removeprefix(":").strip())


def _remark(line: str, heard: Heard, show: Callable[[Kind, str], None]) -> None:
    """What Qiao says in a comment: its progress, and headers that came too late to be some."""
    name, _, said = line.partition(" ")
    if name == "progress":
        show("progress", _doing(said))
    elif name == "x-qiao-engine:":
        heard.engine = said
    elif name == "x-qiao-notice:":
        heard.notice = notice(said)


def _doing(said: str) -> str:
    """A sentence for the progress, and a bar while the prompt is read: `512/2048`."""
    if knows(f"progress.{said}"):
        return say(f"progress.{said}")
    done, _, total = said.partition("/")
    if not (done.isascii() and done.isdigit() and total.isascii() and total.isdigit() and int(total)):
        return ""
    full = min(_BAR * int(done) // int(total), _BAR)
    return say("progress.reading", bar="█" * full + "░" * (_BAR - full), done=int(done), total=int(total))
