"""Share calls among engines of one model: who knows the conversation, who has room, who is to be left alone.

A prefix cache answers fast what it has read before. So the engines of a group are ranked by a hash of the beginning of
the conversation and of their names (rendezvous hashing: an engine that leaves moves its own conversations only), and
the first that has room is taken (consistent hashing with bounded loads, Mirrokni, Thorup and Zadimoghaddam 2018).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import blake2b

from qiao.gate.routes import Target
from qiao.wire import tokens
from qiao.wire.call import Call
from qiao.wire.document import Document

OVER, SLACK = 1.25, 4096  # an engine has room up to so many times the average, and so many tokens more
EXPECTED = 1024  # output tokens of a call, or its max_tokens if that is less: a limit tells the most, not what comes
MOST_INPUT = 65_536  # estimated input tokens of one call: pictures in Base64 are many bytes and few tokens
# Bytes read of the beginning: of the tools, of the messages, and of the first user message behind its role.
# Conversations about one long document differ behind it, and belong where the document is cached.
TOOLS, PREAMBLE, FIRST = 4096, 32_768, 4096
_user = re.compile(rb'"role"\s*:\s*"user"\s*')


@dataclass(slots=True)
class Standing:
    """One engine: what runs on it, and why it is left alone."""

    name: str
    kind: str
    shares: bool = False  # it is in a group
    running: int = 0  # attempts and answers not yet ended
    outstanding: int = 0  # their input and output in tokens, estimated; of engines that share
    answers: int = 0  # attempts that brought an answer
    draining: bool = False
    unhealthy: str = ""  # why, as its last looks found
    looked: float | None = None  # seconds, monotonic

    @property
    def out(self) -> bool:
        """Whether it gets no new call, whatever its cool-down says."""
        return self.draining or bool(self.unhealthy)


class Ticket:
    """What one attempt takes of an engine, until `end`; the second time that does nothing."""

    __slots__ = ("_standing", "_weight")

    def __init__(self, standing: Standing, weight: int) -> None:
        standing.running += 1
        standing.outstanding += weight
        self._standing: Standing | None = standing
        self._weight = weight

    def answered(self) -> None:
        """The attempt has brought an answer, which goes on until the end."""
        if self._standing is not None:
            self._standing.answers += 1

    def end(self) -> None:
        """Give it back."""
        standing, self._standing = self._standing, None
        if standing is not None:
            standing.running -= 1
            standing.outstanding -= self._weight


class Balance:
    """Keeps what runs on each engine, and puts the engines of a group in order for a call."""

    def __init__(self, kinds: Mapping[str, str], shared: Iterable[str] = ()) -> None:
        together = frozenset(shared)
        self.standings = {name: Standing(name, kind, name in together) for name, kind in kinds.items()}

    def begin(self, engine: str, hub: Document) -> Ticket:
        """An attempt begins; `hub` is its document of OpenAI mode."""
        standing = self.standings[engine]
        return Ticket(standing, weight(hub) if standing.shares else 0)

    def order(self, call: Call, members: list[Target]) -> list[Target]:
        """The members of a group by affinity, those that have room first. One at least is not over the average."""
        if len(members) == 1:
            return members
        key = beginning(call)
        loads = {member.engine: self.standings[member.engine].outstanding for member in members}
        room = SLACK + OVER * sum(loads.values()) / len(loads)
        return sorted(members, key=lambda member: (loads[member.engine] > room, _rank(member.engine, key)))


def _rank(engine: str, key: bytes) -> bytes:
    """The place of an engine for a conversation; the least is the nearest."""
    return blake2b(engine.encode(), digest_size=8, key=key).digest()


def weight(hub: Document) -> int:
    """The tokens that a call will keep its engine busy with, as far as its size tells."""
    limit = hub.get("max_completion_tokens") or hub.get("max_tokens")
    expected = min(limit, EXPECTED) if isinstance(limit, int) and limit > 0 else EXPECTED
    return min(tokens.estimate(hub.size), MOST_INPUT) + expected


def beginning(call: Call) -> bytes:
    """A digest of what all turns of a conversation share: the model, the tools, and all to the first user message.

    Nothing is decoded: a quote inside of a string is escaped, so that what looks like a role is one.
    """
    document = call.document
    text = (document.raw("input" if call.protocol == "dashscope" else "messages") or b"")[:PREAMBLE]
    if found := _user.search(text):
        end = found.end()
        if text[end : end + 1] == b",":  # its content follows
            later = text.find(b'"role"', end)
            end = min(end + FIRST, later if later > 0 else len(text))
        text = text[:end].rstrip(b"[]{}, \t\r\n")  # the last message of a call ends like one in the middle
    digest = blake2b(call.model.encode(), digest_size=16)
    digest.update((document.raw("tools") or b"")[:TOOLS])
    digest.update(text)
    return digest.digest()
