"""How the engines stand, for those who run them."""

from __future__ import annotations

from typing import Literal

import msgspec

from qiao.clock import Clock
from qiao.exchange.attempts import Attempts
from qiao.exchange.balance import Balance, Standing

Name = Literal["ready", "cooling", "unhealthy", "draining"]


class State(msgspec.Struct, frozen=True):
    """One engine as the admin doors tell it."""

    name: str
    kind: str
    state: Name
    running: int  # calls
    outstanding_tokens: int | None  # None for an engine in no group
    reason: str
    cool_down_s: float  # seconds until it may be asked again
    looked_s: float | None  # seconds since its health was looked at; None for one that is not


class States:
    """Tells how each engine stands now."""

    def __init__(self, balance: Balance, attempts: Attempts, clock: Clock) -> None:
        self._balance = balance
        self._attempts = attempts
        self._clock = clock

    def all(self) -> list[State]:
        """One row per engine, in the order of the configuration."""
        return [self._of(standing) for standing in self._balance.standings.values()]

    def drain(self, name: str, draining: bool) -> State | None:
        """Take an engine out or in again, until the process ends; None when there is none of this name."""
        standing = self._balance.standings.get(name)
        if standing is None:
            return None
        standing.draining = draining
        return self._of(standing)

    def _of(self, standing: Standing) -> State:
        remaining, reason = self._attempts.cooling(standing.name)
        state: Name = "cooling" if reason else "ready"
        if standing.unhealthy:
            state, reason = "unhealthy", standing.unhealthy
        if standing.draining:
            state = "draining"
        return State(
            standing.name,
            standing.kind,
            state,
            standing.running,
            standing.outstanding if standing.shares else None,
            reason,
            round(max(remaining, 0.0), 1),
            None if standing.looked is None else round(self._clock.monotonic() - standing.looked, 1),
        )
