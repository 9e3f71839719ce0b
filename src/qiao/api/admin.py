"""The doors that take engines out and in: for the admin key, which opens nothing else."""

from __future__ import annotations

import msgspec

from qiao.api.visit import Visit
from qiao.errors import AccessDenied, UnknownPath
from qiao.exchange.states import States
from qiao.gate.keys import Keys
from qiao.wire import openai


class Admin:
    """Answers to the admin key alone; without one set it answers nothing."""

    def __init__(self, keys: Keys, states: States) -> None:
        self._keys = keys
        self._states = states

    async def engines(self, visit: Visit) -> None:
        """The engines: state, what runs on them, cool-down, last look."""
        self._admit(visit)
        await _json(visit, {"engines": self._states.all()})

    async def drain(self, visit: Visit) -> None:
        """Take an engine out: new calls go elsewhere, those that run end as they would."""
        await self._set(visit, draining=True)

    async def resume(self, visit: Visit) -> None:
        """Take it in again."""
        await self._set(visit, draining=False)

    async def _set(self, visit: Visit, *, draining: bool) -> None:
        self._admit(visit)
        state = self._states.drain(visit.scope["path_params"]["name"], draining)
        if state is None:
            raise UnknownPath("There is no engine of this name. GET /admin/engines lists them.")
        await _json(visit, state)

    def _admit(self, visit: Visit) -> None:
        if not len(self._keys):
            raise AccessDenied("The admin paths are off. Set QIAO_ADMIN_KEY where the server runs to switch them on.")
        self._keys.principal(visit.headers.get("authorization"), visit.headers.get("x-api-key"))


async def _json(visit: Visit, value: object) -> None:
    await visit.answer(200, openai.JSON, msgspec.json.encode(value))
