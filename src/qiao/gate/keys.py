"""Client keys: who calls. Static keys from the configuration, held as hashes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from qiao.errors import MissingKey, WrongKey
from qiao.wire.call import Principal

_LOCAL = Principal()


class Keys:
    """Tells the principal of a request. Without any key configured everybody is `local` (loopback only)."""

    def __init__(self, keys: Iterable[str] = ()) -> None:
        # A lookup by digest takes the same time whatever part of a guess is right.
        self._principals = {_digest(key): Principal(f"key-{_digest(key).hex()[:8]}") for key in keys}

    def __len__(self) -> int:
        return len(self._principals)

    def principal(self, authorization: str | None, api_key: str | None = None) -> Principal:
        """Whose key this is: `Authorization: Bearer KEY`, or `x-api-key: KEY`; MissingKey or WrongKey if nobody's."""
        if not self._principals:
            return _LOCAL
        key = api_key or ""
        if authorization:
            scheme, _, given = authorization.strip().partition(" ")
            key = given.strip() if scheme.lower() == "bearer" else ""
        if not key:
            raise MissingKey
        principal = self._principals.get(_digest(key))
        if principal is None:
            raise WrongKey
        return principal


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()
