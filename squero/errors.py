"""What can go wrong for a caller: one class per thing, each with its HTTP status and its words.

Raised where the rule lives, rendered once by `squero.app`. The words are the contract's.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

LIMIT_QUOTED = 20
"""Characters of a client's word in an issue: an answer holds it three times, and of all of them
together 200 characters at most."""


@dataclass(frozen=True, slots=True)
class Issue:
    """One thing that is wrong with a request: where it is, and what was expected there."""

    path: tuple[str | int, ...]
    message: str
    code: str = "custom"
    expected: str | None = None
    received: str | None = None


class Refused(Exception):
    """A request that is answered with an error body `{"error": message}`."""

    status: ClassVar[int] = 400
    message: str = "Invalid request parameters"
    retry_seconds: int | None = None
    """When to come again, where that is known."""

    def __init__(self, message: str | None = None) -> None:
        self.message = message or self.message
        super().__init__(self.message)


class InvalidRequest(Refused):
    """400 with the `details` tree and the `issues` list that the contract's clients parse."""

    def __init__(self, issues: Sequence[Issue]) -> None:
        super().__init__()
        self.issues = tuple(issues)


class InvalidJson(Refused):
    message = "Invalid JSON request"


class RequestNotFound(Refused):
    """An unknown or foreign queue_id: 400, not 404, says the contract."""

    message = "Request ID is invalid."


class InvalidCursor(Refused):
    """A cursor that was changed, or given to another account."""

    message = "Invalid or expired cursor; restart from the first page"


class KeyNotFound(Refused):
    """An unknown or foreign key's id, or one that is over."""

    message = "API key not found"


class TooManyKeys(Refused):
    """The account has as many keys in force as it may have."""

    message = "Too many active API keys: an account may have 500. Delete one to make another."


class AuthenticationFailed(Refused):
    status = 401
    message = "Authentication failed"


class InsufficientBalance(Refused):
    status = 402
    message = "Insufficient USD or Diem balance to complete request"


class SpendLimitExceeded(Refused):
    """The account could pay, but not by this key in its present period."""

    status = 402
    message = (
        "API key USD spend limit exceeded. Your account may still have USD balance, but this"
        " API key has reached its configured USD spending limit."
    )

    def __init__(self, currency: str = "USD") -> None:
        super().__init__(self.message.replace("USD", currency))


class ModelNotAllowed(Refused):
    """The key has a list of models, and this one is not on it."""

    status = 403
    message = "Unauthorized access: this API key may not use this model"


class NotFound(Refused):
    status = 404
    message = "Not found"


class ModelNotFound(Refused):
    status = 404
    message = "Specified model not found"


class MediaNotFound(Refused):
    status = 404
    message = "Media could not be found. Request may be invalid, expired, or deleted."


class MethodNotAllowed(Refused):
    status = 405
    message = "Method not allowed"


class StaleAttempt(Refused):
    """A worker speaks of an attempt that is no longer current: nothing was changed."""

    status = 409
    message = "This attempt is no longer current"


class PayloadTooLarge(Refused):
    status = 413
    code = "PAYLOAD_TOO_LARGE"
    """The newer contract has it in the body, beside the words."""
    message = "The request payload is too large. Please reduce the size of your request."


class UnsupportedContentType(Refused):
    status = 415
    message = "Invalid content type. 'Content-Type' must be 'application/json'"


class JobFailed(Refused):
    """A job that is over without a video: the same words on every poll, and the price is back."""

    credits_refunded = True


class InputRejected(JobFailed):
    """It failed by its own input, seen only while rendering, or its owner cancelled it."""

    status = 422
    message = "The input of this request could not be rendered"


class ContentRefused(Refused):
    """A policy refuses the prompt; nothing was queued."""

    status = 422
    message = "Your prompt violates the content policy of Venice.ai or the model provider"


class RateLimited(Refused):
    status = 429
    message = "Rate limit exceeded"
    retry_seconds = 60


class TooManyFailures(Refused):
    """More failed requests of late than are allowed; no call is looked at for a while."""

    status = 429
    message = (
        "Too many failed attempts (> 20) resulting in a non-success status code. Please wait 30s"
        " and try again. See https://docs.venice.ai/api-reference/rate-limiting for more"
        " information."
    )

    def __init__(self, allowed: int = 20, seconds: int = 30) -> None:
        super().__init__(self.message.replace("20", str(allowed)).replace("30s", f"{seconds}s"))
        self.retry_seconds = seconds


class TooManyQueued(Refused):
    """The account has as many jobs waiting as it may have."""

    status = 429
    retry_seconds = 30
    message = "Too many requests are queued. Please wait until some of them are done."


class InferenceFailed(JobFailed):
    """It failed by us."""

    status = 500
    message = "Inference processing failed"


class QueuedTooLong(JobFailed):
    """It waited longer than a job may."""

    status = 503
    message = "The model is at capacity. Please try again later."


class AtCapacity(Refused):
    status = 503
    message = "The model is at capacity. Please try again later."


class ModelOffline(Refused):
    """Nobody renders for this model."""

    status = 503
    message = "The model is temporarily offline. Please try again later."


class Unexpected(Refused):
    """An error of ours; its words stay in the log."""

    status = 500
    message = "An unknown error occurred"
