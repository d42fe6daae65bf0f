"""What one emulator is started with."""

import re
import secrets
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypedDict

DEFAULT_ZONE = "blueflyagents.com"
LOOPBACK = "127.0.0.1"
TOKEN = re.compile(r"[0-9A-Za-z_-]{40,80}")
"""The form that the official provider insists on."""
_ID = re.compile(r"[0-9a-f]{32}")
_ZONE = re.compile(r"(?:[a-z0-9-]{1,63}\.)+[a-z]{2,63}")


def new_token() -> str:
    """Return a random token of the right form."""
    return secrets.token_urlsafe(30)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Options of one emulator; the command line has one flag for each."""

    token: str = field(default_factory=new_token, repr=False)
    """The bearer token of all calls."""
    host: str = LOOPBACK
    port: int = 0
    """TCP port on 127.0.0.1; 0 takes a free one."""
    account_id: str | None = None
    """32 hexadecimal digits; a random one by default."""
    zone: str = DEFAULT_ZONE
    """Name of the account's zone."""
    state_file: Path | None = None
    """Where the state is kept; without it, it ends with the emulator."""

    def __post_init__(self) -> None:
        if self.host != LOOPBACK:
            raise ValueError(f"the emulator listens on {LOOPBACK} only, got host {self.host!r}")
        if not TOKEN.fullmatch(self.token):
            raise ValueError(f"the token must match {TOKEN.pattern}")
        if self.account_id is not None and not _ID.fullmatch(self.account_id):
            raise ValueError(f"an account id has 32 hexadecimal digits, got {self.account_id!r}")
        if not _ZONE.fullmatch(self.zone):
            raise ValueError(f"a zone is a domain name in lower case, got {self.zone!r}")


class Options(TypedDict, total=False):
    """`Settings` as keyword arguments."""

    token: str
    port: int
    account_id: str | None
    zone: str
    state_file: Path | None
