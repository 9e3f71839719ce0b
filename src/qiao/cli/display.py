"""Show an answer as it comes: finished blocks are printed once, only the block in progress is drawn again."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self, TextIO

from qiao.cli.stream import Kind
from qiao.cli.text import clean, say

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderableType, RenderResult

_fence = re.compile(r" {0,3}(`{3,}|~{3,})")
# What belongs to the block before an empty line: indented lines, and further items of a list.
_goes_on = re.compile(r"[ \t]|[-*+][ \t]|\d{1,9}[.)][ \t]")


class Display(Protocol):
    """Takes the pieces of one answer; leaving it ends the answer, whatever has come."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def show(self, kind: Kind, piece: str) -> None: ...


class Plain:
    """Text as it comes and nothing else: for files and pipes."""

    def __init__(self, out: TextIO, *, thoughts: bool) -> None:
        self._out = out
        self._thoughts = thoughts
        self._kind: Kind | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._kind is not None:
            self._out.write("\n")
        self._out.flush()

    def show(self, kind: Kind, piece: str) -> None:
        if kind == "thought" and not self._thoughts:
            return
        if self._thoughts and kind != self._kind and "thought" in {kind, self._kind}:
            self._out.write(f"[{say('chat.thinking')}] " if kind == "thought" else "\n\n")
        self._kind = kind
        self._out.write(piece)
        self._out.flush()


class Terminal:
    """Markdown on a terminal, the thought before it dimmed."""

    def __init__(self, console: Console) -> None:
        from rich.live import Live

        self._console = console
        self._live = Live(console=console, refresh_per_second=12, transient=True)
        self._kind: Kind = "text"
        self._rest = ""
        self._blocks = 0

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()
        self._print(self._rest)

    def show(self, kind: Kind, piece: str) -> None:
        if kind != self._kind:
            done, self._rest, before = self._rest, "", self._kind
            self._kind = kind
            self._advance(done, before)
        self._rest += clean(piece)
        end = 0
        if "\n" in piece:
            end = settled(self._rest) if kind == "text" else self._rest.rfind("\n") + 1
        done, self._rest = self._rest[:end], self._rest[end:]
        self._advance(done, kind)

    def _advance(self, done: str, kind: Kind) -> None:
        # First what remains, then what is finished: printing draws the live part again, in the same write.
        self._live.update(_Tail(_rendered(self._rest, self._kind), self._gap(self._kind)))
        self._print(done, kind)

    def _print(self, block: str, kind: Kind | None = None) -> None:
        if block.strip():
            if self._gap(kind or self._kind):
                self._console.print()
            self._console.print(_rendered(block.rstrip(), kind or self._kind))
            self._blocks += 1

    def _gap(self, kind: Kind) -> bool:
        return self._blocks > 0 and kind == "text"


class _Tail:
    """The last lines of something, as many as the screen has."""

    def __init__(self, whole: RenderableType, gap: bool) -> None:
        self._whole = whole
        self._gap = gap

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        from rich.segment import Segment

        lines = console.render_lines(self._whole, options, pad=False)
        if self._gap and lines:
            lines.insert(0, [])
        for line in lines[-max(console.height - 2, 1) :]:
            yield from line
            yield Segment.line()


def settled(markdown: str) -> int:
    """How much of a text that is still growing will not change its looks any more: up to the start of its last block.

    A block ends at an empty line outside of a fence when what follows it has begun and does not continue it.
    """
    end, at, fence, empty = 0, 0, "", False
    for line in _whole_lines(markdown):
        mark = _fence.match(line)
        if empty and not fence and line.strip() and not _goes_on.match(line):
            end = at
        if mark and not fence:
            fence = mark[1]
        elif mark and mark[1].startswith(fence) and not line.strip(" `~\n"):
            fence = ""
        empty = not line.strip()
        at += len(line)
    return end


def _whole_lines(text: str) -> Iterator[str]:
    start = 0
    while (end := text.find("\n", start)) >= 0:
        yield text[start : end + 1]
        start = end + 1


def _rendered(text: str, kind: Kind) -> RenderableType:
    from rich.markdown import Markdown
    from rich.text import Text

    return Text(text, style="dim") if kind == "thought" else Markdown(text, code_theme="ansi_dark", hyperlinks=False)


def pick(console: Console | None, *, thoughts: bool) -> Display:
    """The display for standard output: a terminal's with a console, else plain."""
    return Terminal(console) if console is not None else Plain(sys.stdout, thoughts=thoughts)
