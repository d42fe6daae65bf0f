"""What belongs to the account and not to a rental: credit and SSH keys."""

from dataclasses import dataclass, field

from localcloud.vastai.wire import ApiError, Json, invalid

KEY_TYPES = ("ssh-", "ecdsa-", "sk-")
USER_ID = 4_242


@dataclass
class Account:
    """The renter. `credit` is what was ever paid in, in units of `billing`."""

    credit: int
    keys: dict[int, Json] = field(default_factory=dict[int, Json])
    _next_key: int = 1

    def add_key(self, public_key: str, now: float) -> Json:
        """Store a public key."""
        row: Json = {
            "id": self._next_key,
            "user_id": USER_ID,
            "public_key": checked_key(public_key),
            "created_at": now,
        }
        self.keys[self._next_key] = row
        self._next_key += 1
        return row

    def key(self, key_id: int) -> Json:
        """Return a stored key, or refuse."""
        if key_id not in self.keys:
            raise ApiError(404, "no_such_key", f"SSH key {key_id} not found.")
        return self.keys[key_id]


def checked_key(text: object) -> str:
    """Return a public key if it looks like one."""
    if not isinstance(text, str) or not text.strip().startswith(KEY_TYPES):
        raise invalid("ssh_key must be an OpenSSH public key")
    return text.strip()
