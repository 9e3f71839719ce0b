"""Try the engines of a route until one answers; before the first byte only.

An attempt is one `engine.open` and the wait for its first event. A retry asks the same engine again, a failover the
next one. A failover follows any fault of the engine, and a 404 for a model that it does not have; a retry needs an
error that may pass, and one more in the budget. Rules: reliability design, §5.11.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass

import structlog

from qiao.clock import Clock
from qiao.engines.engine import Engine, Reply
from qiao.errors import EngineBusy, EngineError, EngineUnavailable, QiaoError, Refused, StreamBroken
from qiao.exchange import passages
from qiao.exchange.cooldown import CoolDown
from qiao.gate.routes import Route, Target
from qiao.wire import checks
from qiao.wire.call import Call
from qiao.wire.passage import Passage

BACK_OFF, LONGEST_BACK_OFF = 0.2, 5.0  # seconds: full jitter over 0.2·2ⁿ
LONGEST_WAIT = 10.0  # a Retry-After up to this is waited for, a longer one is passed on
MOST_ATTEMPTS = 3

log = structlog.get_logger("qiao.attempts")


@dataclass(slots=True)
class Opened:
    """An attempt that answered: its reply, what its bytes go through, and the first bytes for the client."""

    engine: Engine
    model: str  # its name for the model
    reply: Reply
    passage: Passage
    content_type: str
    first: bytes
    ended: bool  # the first bytes are the whole answer
    attempts: int


class Attempts:
    """Tries engines; keeps what is known of each engine's health."""

    def __init__(self, engines: Mapping[str, Engine], clock: Clock) -> None:
        self._engines = engines
        self._clock = clock
        self._cool_downs: dict[Target, CoolDown] = {}

    async def open(self, call: Call, route: Route) -> Opened:
        """The first answer of the route's engines; the last error when there is none."""
        made = 0
        error: QiaoError = EngineUnavailable("No engine is configured for this model.")
        plan = self._plan(route)
        for target in plan:
            engine = self._engines[target.engine]
            cool_down = self._cool_down(target)
            for turn in range(engine.traits.attempts):
                if turn and not cool_down.may_retry():
                    raise _final(error)
                made += 1
                try:
                    return await self._attempt(call, route, target, cool_down, made)
                except (EngineError, Refused) as failure:
                    error = failure
                    error.engine, error.attempts = target.engine, made
                last = target is plan[-1]
                if engine.traits.rehearsal or (isinstance(error, Refused) and (last or not _lacks_model(error))):
                    raise error
                self._report(call, error)
                if made >= MOST_ATTEMPTS:
                    raise _final(error)
                if not last:
                    break  # a different engine rather than the same one, whatever is wrong with this one
                if not _may_pass(error) or turn + 1 >= engine.traits.attempts or not await self._pause(error, turn):
                    raise _final(error)
        raise _final(error)

    async def _attempt(self, call: Call, route: Route, target: Target, cool_down: CoolDown, number: int) -> Opened:
        engine = self._engines[target.engine]
        asked = passages.outbound(call, route, target, engine)
        reply: Reply | None = None
        cool_down.begin()
        try:
            level = engine.traits.checks
            size = passages.input_tokens(asked.hub, route.model) if level == "cloud" else None
            checks.check(asked.hub, route.model, level, stream=call.stream, input_tokens=size)
            reply = await engine.open(asked.call)
            if reply.status != 200:
                raise await passages.refusal(asked.call, reply, self._clock.time())
            passage = passages.passage(call, asked, reply)
            first, ended = await _first(reply, passage)
        except EngineError as error:
            if not engine.traits.rehearsal:
                cool_down.failed(error)
            _close(reply)
            raise
        except BaseException:
            cool_down.abandoned()
            _close(reply)
            raise
        cool_down.succeeded()
        content_type = reply.content_type if asked.options is None else passage.content_type
        return Opened(engine, target.model, reply, passage, content_type, first, ended, number)

    def _plan(self, route: Route) -> list[Target]:
        """The targets that may be asked now; when all are cooling down, the one nearest to its end."""
        ready = [target for target in route.targets if self._cool_down(target).ready]
        if ready or not route.targets:
            return ready
        nearest = min(route.targets, key=lambda target: self._cool_down(target).remaining)
        pacing = self._cool_down(nearest).not_before - self._clock.monotonic()
        if pacing > 0:
            raise EngineBusy("The engine asked for a pause.", retry_after=pacing)
        return [nearest]

    def _cool_down(self, target: Target) -> CoolDown:
        known = self._cool_downs.get(target)
        if known is None:
            if len(self._cool_downs) > 4096:  # model names come from callers
                self._cool_downs.clear()
            known = self._cool_downs[target] = CoolDown(self._clock)
        return known

    async def _pause(self, error: QiaoError, turn: int) -> bool:
        """Back off before a retry; False when the engine asked for longer than a caller would wait."""
        spread = random.uniform(0, min(BACK_OFF * 2**turn, LONGEST_BACK_OFF))  # noqa: S311 - spread, no secret
        if isinstance(error, EngineBusy):
            if (error.retry_after or 0.0) > LONGEST_WAIT:
                return False
            spread += error.retry_after if error.retry_after is not None else 2.0**turn
        await self._clock.sleep(spread)
        return True

    def _report(self, call: Call, error: QiaoError) -> None:
        log.warning(
            "attempt_failed",
            request_id=call.id,
            engine=error.engine,
            attempt=error.attempts,
            code=error.code,
            status=error.status,
            error=type(error).__name__,
            detail="; ".join(getattr(error, "__notes__", ())),
        )


async def _first(reply: Reply, passage: Passage) -> tuple[bytes, bool]:
    """Wait for the first event with data; an error in its place is raised, for nothing was sent yet."""
    async for chunk in reply.body:
        out = passage.feed(chunk)
        if isinstance(passage.error, EngineError) and reply.guarded:
            raise passage.error
        if out and (b"data:" in out or not reply.streamed):
            return out, False
    return passage.end(), True


def _may_pass(error: QiaoError) -> bool:
    """Whether the same engine may answer the next time; a break before the first event counts as nothing sent."""
    return error.retryable or isinstance(error, StreamBroken)


def _lacks_model(error: Refused) -> bool:
    """Whether it is this engine alone that cannot answer."""
    return error.status == 404


def _final(error: QiaoError) -> QiaoError:
    """What the caller gets: an engine that is busy or away says when to come back."""
    if isinstance(error, EngineBusy | EngineUnavailable) and error.retry_after is None:
        error.retry_after = 1.0
    return error


def _close(reply: Reply | None) -> None:
    if reply is not None:
        reply.close()
