"""What one emulated cloud is started with."""

import math
import secrets
from dataclasses import dataclass, field
from typing import TypedDict

FIRST_ID_RANGE = (10_000_000, 99_000_000)


def random_first_id() -> int:
    """Return a contract id to count up from.

    Random, so that two emulators on one machine rarely give two machines the same address.
    """
    low, high = FIRST_ID_RANGE
    return low + secrets.randbelow(high - low)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Options of one emulator; the command line has one flag for each."""

    port: int = 0
    """TCP port of the API on 127.0.0.1; 0 takes a free one."""
    seed: int = 1
    """The same seed gives the same offers."""
    boot_seconds: float = 2.0
    """Emulated seconds from a create until the machine runs."""
    time_scale: float = 1.0
    """Emulated seconds per real second."""
    rate_limits: bool = False
    """Whether Vast.ai's per-endpoint thresholds are enforced."""
    create_seconds: float = 0.0
    """Real seconds between accepting a create and answering it."""
    key: str | None = None
    """The one accepted API key; None accepts any that is not empty."""
    bad_key_status: int = 401
    """Status of the `auth_error` answer: 401 as specified, or 404 as clients report."""
    offers: int = 240
    """Single-GPU offers on the market; larger ones on the same GPUs come on top."""
    first_id: int = field(default_factory=random_first_id)
    """Contract id of the first rental."""
    credit: float = 1000.0
    """Prepaid dollars at the start."""
    work_seconds: float = 0.0
    """Real seconds that a machine works for one generate; 0 answers at once."""
    parallel: int = 4
    """Generates that one machine works on at a time; the others wait inside it."""

    def __post_init__(self) -> None:
        if not 0 <= self.work_seconds < math.inf:
            raise ValueError(f"work seconds must not be negative, got {self.work_seconds!r}")
        if self.parallel < 1:
            raise ValueError(f"a machine must work on at least 1 at a time, got {self.parallel!r}")


class Options(TypedDict, total=False):
    """`Settings` as keyword arguments."""

    port: int
    seed: int
    boot_seconds: float
    time_scale: float
    rate_limits: bool
    create_seconds: float
    key: str | None
    bad_key_status: int
    offers: int
    first_id: int
    credit: float
    work_seconds: float
    parallel: int
