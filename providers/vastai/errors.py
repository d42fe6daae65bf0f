"""What can go wrong with Vast.ai, as types, because callers branch on them.

VastError
├── NotFound      the thing is proved gone (never an authentication failure in disguise)
├── AuthFailed    the key is missing, wrong or lacks the scope
├── RateLimited   too soon; nothing was done; `retry_after` in seconds, if it was told
├── NoSuchOffer   the offer was taken or withdrawn; try the next one
├── NoCredit      the account cannot pay
├── Rejected      the request itself is wrong, or the state forbids it
├── Unavailable   nothing was done and it may work later
└── Ambiguous     it may have been done: look before doing it again
"""

from contracts.errors import AgentDockerError


class VastError(AgentDockerError):
    """Any failure of a call to Vast.ai."""

    exit_code = 5


class NotFound(VastError):
    """The instance, key or offer does not exist."""


class AuthFailed(VastError):
    """Vast.ai did not accept the key."""


class RateLimited(VastError):
    """Too many calls; nothing was done."""

    def __init__(
        self, message: str, *, hint: str | None = None, retry_after: float | None = None
    ) -> None:
        super().__init__(message, hint=hint)
        self.retry_after = retry_after


class QuotaExceeded(RateLimited):
    """The daily search quota is used up; it resets at 00:00 UTC, retrying is useless before."""


class NoSuchOffer(VastError):
    """The offer cannot be rented any more, or none fits."""


class NoCredit(VastError):
    """The account's credit does not allow it."""


class Rejected(VastError):
    """Vast.ai understood and refused."""


class Unavailable(VastError):
    """The service did not take the call; nothing was done."""


class Ambiguous(VastError):
    """No answer tells whether the call took effect."""
