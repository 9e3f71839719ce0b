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
    from rich.segment import Segment

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
        if kind == "progress" or (kind == "thought" and not self._thoughts):
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
        end = settled(self._rest + "\n") if self._kind == "text" else 0
        self._print(self._rest[:end], self._kind)
        self._print(self._rest[end:], self._kind)

    def show(self, kind: Kind, piece: str) -> None:
        if kind == "progress":
            self._live.update(_dim(piece))  # until the answer takes its place
            return
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
        blocks = self._blocks + bool(done.strip())
        self._live.update(_Block(self._rest, self._kind, gap=blocks > 0, on_screen=True))
        self._print(done, kind)

    def _print(self, block: str, kind: Kind) -> None:
        if block.strip():
            self._console.print(_Block(block, kind, gap=self._blocks > 0))
            self._blocks += 1


class _Block:
    """A piece of an answer without empty lines around it, but for a gap before it; `on_screen` keeps its last lines."""

    def __init__(self, text: str, kind: Kind, *, gap: bool, on_screen: bool = False) -> None:
        self._text = text
        self._kind: Kind = kind
        self._gap = gap and kind == "text"
        self._on_screen = on_screen

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        from rich.segment import Segment

        lines = [] if not self._text.strip() else console.render_lines(self._rendered(), options, pad=False)
        while lines and _is_empty(lines[-1]):
            lines.pop()
        while lines and _is_empty(lines[0]):
            lines.pop(0)
        if self._gap and lines:
            lines.insert(0, [])
        for line in lines[-max(console.height - 2, 1) :] if self._on_screen else lines:
            yield from line
            yield Segment.line()

    def _rendered(self) -> RenderableType:
        from rich.markdown import Markdown

        if self._kind == "thought":
            return _dim(self._text.rstrip())
        return Markdown(self._text, code_theme="ansi_dark", hyperlinks=False)


def _dim(text: str) -> RenderableType:
    from rich.text import Text

    return Text(text, style="dim")


def _is_empty(line: list[Segment]) -> bool:
    return not any(segment.text.strip() for segment in line)


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


def pick(console: Console | None, *, thoughts: bool) -> Display:
    """The display for standard output: a terminal's with a console, else plain."""
    return Terminal(console) if console is not None else Plain(sys.stdout, thoughts=thoughts)
