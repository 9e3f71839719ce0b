"""The life of a request.

1. A door in `api/` reads the body once and makes a frozen Call.
2. The catalogue's route gives the ordered engines that may serve its model name.
3. `attempts` puts the call into the engine's protocol, checks it as far as the engine does not, and opens it; connect
   errors, 429 and 5xx go to the next attempt, a 4xx about the caller's own body goes back.
4. The first event decides: until it is here nothing is sent, so failover is invisible.
5. The door streams what `relay` yields; afterwards nothing is retried.
6. `relay` settles once: complete, broken, gone or cut; what was refused is settled here.
"""

from __future__ import annotations

from asyncio import CancelledError

from qiao.clock import Clock
from qiao.errors import Defect, QiaoError
from qiao.exchange.attempts import Attempts
from qiao.exchange.relay import Relay, Settle, Settlement
from qiao.gate import history
from qiao.gate.billing import Billing
from qiao.gate.routes import Routes
from qiao.wire.call import Call


class Exchange:
    """Answers calls. Doors, batch workers and tests are its only clients, and it is the only way in."""

    def __init__(self, routes: Routes, billing: Billing, attempts: Attempts, clock: Clock, settle: Settle) -> None:
        self._routes = routes
        self._billing = billing
        self._attempts = attempts
        self._clock = clock
        self._settle = settle

    async def answer(self, call: Call) -> Relay:
        """Open the call; any QiaoError means that nothing was sent, and the call is settled already."""
        try:
            route = self._billing.allowed(self._routes.find(call.model))
            if route.keep is not None:
                call = history.trimmed(call, route.keep)
            opened = await self._attempts.open(call, route)
        except BaseException as error:
            self._refused(call, error)
            raise
        return Relay(call, opened, self._clock, self._settle, self._billing)

    def _refused(self, call: Call, error: BaseException) -> None:
        duration = self._clock.monotonic() - call.received
        if isinstance(error, CancelledError):
            self._settle(Settlement(call, "gone", 499, duration=duration))
        else:
            known = error if isinstance(error, QiaoError) else Defect()
            refused = Settlement(
                call, "refused", known.status, known.engine, error=known, attempts=known.attempts, duration=duration
            )
            self._settle(refused)
