"""Every error that a call can end with. Raised anywhere, rendered only at the edge by the protocol spoken.

    QiaoError(message, *, status, code, retry_after, param)
    ├── CallerError             the caller can mend it; never retried
    │   ├── InvalidParameter        400  a value in the body is wrong (found behind the key and model checks)
    │   │   └── InputTooLong        400  the prompt is longer than the model's window
    │   ├── MalformedBody           400  the body is not a JSON object that can be read
    │   ├── BodyTooLarge            413
    │   ├── BodyTimeout             408  the body did not arrive in time
    │   ├── MissingKey              401
    │   ├── WrongKey                401
    │   ├── AccessDenied            403
    │   │   └── UnpricedModel       403  nobody knows what the model costs, and that is refused
    │   ├── UnknownModel            404
    │   ├── UnknownPath             404  no such path, or not without the cloud
    │   ├── WrongMethod             400
    │   ├── ForbiddenHost           421  the Host header is not in the allow-list
    │   └── Refused                 4xx  an engine refused the caller's own body; carries its bytes
    ├── EngineError             the engine's fault
    │   ├── EngineUnavailable       503  could not connect, or no engine is left
    │   ├── EngineReset             502  the connection broke before the first byte
    │   ├── EngineTimeout           504  silence before the first byte
    │   ├── EngineFailed            5xx  the engine said so itself
    │   ├── EngineBusy              429  rate limit or a full queue, with its Retry-After
    │   ├── EngineOccupied     503, 429  sound, but cannot take this call now: its own queue is full, or it is loading
    │   ├── KeyRefused         401, 403  the engine refused Qiao's own key
    │   ├── NoCredit                503  the engine's account is out of money
    │   ├── ProtocolBroken          502  the answer is not what the protocol says
    │   └── StreamBroken            502  it ended after the first byte: interrupted, incomplete or stalled
    ├── Draining                503  the server is stopping
    └── Defect                  500  ours; the traceback is in the log under the request id

`code` is the native DashScope code; `wire/openai.py` holds the table to OpenAI's (reference: error codes).
"""

from __future__ import annotations

from typing import ClassVar, Literal


class QiaoError(Exception):
    """An error with the answers to: whose fault, which status, may it be tried again."""

    status: int = 500
    code: str = "InternalError"
    blame: ClassVar[Literal["caller", "engine", "qiao"]] = "qiao"
    retryable: bool = False
    cool_down: bool = False
    # Found by the model's own checks, behind key, model and path: streams then answer inside the stream.
    behind_gateway: ClassVar[bool] = False

    def __init__(
        self,
        message: str = "",
        *,
        status: int | None = None,
        code: str | None = None,
        retry_after: float | None = None,
        param: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.attempts = 0  # made on engines, and the last of them, for the settlement
        self.engine: str | None = None
        self.retry_after = retry_after
        self.param = param
        if status is not None:
            self.status = status
        if code is not None:
            self.code = code


class CallerError(QiaoError):
    """The caller can mend it."""

    status = 400
    code = "InvalidParameter"
    blame = "caller"


class InvalidParameter(CallerError):
    """A value in the body is wrong."""

    behind_gateway = True


class InputTooLong(InvalidParameter):
    """The prompt is longer than the model's window."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"Range of input length should be [1, {limit}]", param="messages")


class MalformedBody(CallerError):
    """The body is not a readable JSON object."""


class BodyTooLarge(CallerError):
    """The body is over the limit."""

    status = 413
    code = "BadRequest.TooLarge"


class BodyTimeout(CallerError):
    """The body did not arrive in time."""

    status = 408
    code = "RequestTimeOut"


class MissingKey(CallerError):
    """No API key in the request."""

    status = 401
    code = "InvalidApiKey"


class WrongKey(CallerError):
    """The API key is not one of ours."""

    status = 401
    code = "InvalidApiKey"


class AccessDenied(CallerError):
    """The key may not do this."""

    status = 403
    code = "AccessDenied"


class UnpricedModel(AccessDenied):
    """Nobody knows what the model costs; `param` holds its name."""

    def __init__(self, model: str) -> None:
        super().__init__(
            f"The price of {model} is not known, and this server refuses calls without one: "
            'set it under [[prices.models]], or prices.unknown = "free".',
            param=model,
        )


class UnknownModel(CallerError):
    """No route serves this model name; `param` holds the name."""

    status = 404
    code = "ModelNotFound"


class UnknownPath(CallerError):
    """No such path here."""

    status = 404
    code = "NotFound"


class WrongMethod(CallerError):
    """The path exists, the method does not."""


class ForbiddenHost(CallerError):
    """The Host header is not in the allow-list."""

    status = 421
    code = "InvalidHost"


class Refused(CallerError):
    """An engine's 4xx about the caller's own body, to be relayed byte for byte where the protocol is the same."""

    behind_gateway = True

    def __init__(self, message: str, *, status: int, code: str, body: bytes, content_type: str) -> None:
        super().__init__(message, status=status, code=code)
        self.body = body
        self.content_type = content_type


class EngineError(QiaoError):
    """The engine's fault."""

    status = 502
    blame = "engine"
    retryable = True
    cool_down = True


class EngineUnavailable(EngineError):
    """Could not connect, or no engine is left to try."""

    status = 503
    code = "ModelUnavailable"


class EngineReset(EngineError):
    """The connection broke before the first byte of the answer."""


class EngineTimeout(EngineError):
    """No first byte in time."""

    status = 504
    code = "RequestTimeOut"


class EngineFailed(EngineError):
    """The engine answered 5xx."""

    code = "InternalError"


class EngineBusy(EngineError):
    """The engine's rate limit or queue is full; sets pacing, not the breaker."""

    status = 429
    code = "Throttling.RateQuota"
    cool_down = False


class EngineOccupied(EngineError):
    """A sound engine cannot take this call now: its queue is full (429: for this key), or it is loading."""

    status = 503
    code = "ModelUnavailable"
    retryable = False
    cool_down = False


class KeyRefused(EngineError):
    """The engine refused Qiao's own key: the operator mends it."""

    status = 401
    code = "InvalidApiKey"
    retryable = False


class NoCredit(EngineError):
    """The engine's account is out of money or quota."""

    status = 503
    code = "Arrearage"
    retryable = False


class ProtocolBroken(EngineError):
    """The engine's answer is not what its protocol says."""

    code = "InternalError.Algo"


class StreamBroken(EngineError):
    """The answer ended after its first byte; nothing is retried any more."""

    code = "InternalError"
    retryable = False


class Draining(QiaoError):
    """The server is stopping."""

    status = 503
    code = "ModelUnavailable"


class Defect(QiaoError):
    """Our own fault."""
