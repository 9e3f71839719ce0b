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
        digests = [_digest(key.encode()) for key in keys]
        self._principals = {digest: Principal(f"key-{digest.hex()[:8]}") for digest in digests}
        self._headers: dict[str, Principal] = {}  # of keys that were right, by the whole header

    def __len__(self) -> int:
        return len(self._principals)

    def principal(self, authorization: str | None, api_key: str | None = None) -> Principal:
        """Whose key this is: `Authorization: Bearer KEY`, or `x-api-key: KEY`; MissingKey or WrongKey if nobody's.

        The values are decoded as latin-1, as headers are, so that a key may be of any bytes.
        """
        if not self._principals:
            return _LOCAL
        if authorization in self._headers:
            return self._headers[authorization]
        key = api_key or ""
        if authorization:
            scheme, _, given = authorization.strip().partition(" ")
            key = given.strip() if scheme.lower() == "bearer" else ""
        if not key:
            raise MissingKey
        principal = self._principals.get(_digest(key.encode("latin-1")))
        if principal is None:
            raise WrongKey
        if authorization and len(self._headers) < 4 * len(self._principals):
            self._headers[authorization] = principal
        return principal


def _digest(key: bytes) -> bytes:
    return hashlib.sha256(key).digest()
