"""Names by which the fleet is recognised: owners, slots and the labels of rented machines."""

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass

OWNER_PATTERN = r"^[a-z0-9]{8,32}$"
SLOT_PATTERN = r"^[a-z][a-z0-9-]{1,40}$"
_PREFIX = "agent-docker"
_STACK = re.compile(r"^[A-Za-z0-9._-]{1,100}$")

# No vowels and no `y`: a name never spells a word.
_DIGITS = "0123456789bcdfghjklmnpqrstvwxz"
_WIDTH = 4
_SPACE = len(_DIGITS) ** _WIDTH
# Coprime to the base, so that multiplying permutes the space and two numbers never share a name.
_STRIDE = 487_127


@dataclass(frozen=True, kw_only=True)
class Label:
    """The label written into a rental: `agent-docker/<owner>/<stack>/<slot>`.

    Vast.ai labels are free text and anyone with the key may edit them, so only an exact match of
    prefix, owner and stack counts as ours.
    """

    owner: str
    stack: str
    slot: str

    def __str__(self) -> str:
        return f"{_PREFIX}/{self.owner}/{self.stack}/{self.slot}"

    @classmethod
    def parse(cls, text: str | None) -> "Label | None":
        """The label in `text`, or None for anything that is not exactly one."""
        parts = (text or "").split("/")
        if len(parts) != 4 or parts[0] != _PREFIX:  # noqa: PLR2004 - prefix, owner, stack, slot
            return None
        _, owner, stack, slot = parts
        # `$` alone would let a line break pass at the end of a part.
        sound = re.fullmatch(OWNER_PATTERN, owner) and _STACK.fullmatch(stack)
        if not sound or not re.fullmatch(SLOT_PATTERN, slot):
            return None
        return cls(owner=owner, stack=stack, slot=slot)


def slot_name(number: int, *, owner: str, stack: str) -> str:
    """The name of the `number`-th slot (from 0) ever given out in this owner's stack.

    A fixed permutation of the numbers: distinct for distinct numbers, and the same again when an
    update that was cut off is repeated, so the machine it had rented is found by its label.
    """
    salt = int.from_bytes(hashlib.sha256(f"{owner}/{stack}".encode()).digest()[:8], "big")
    rounds, rest = divmod(number, _SPACE)
    code = (rest * _STRIDE + salt) % _SPACE
    text = "".join(_DIGITS[code // len(_DIGITS) ** i % len(_DIGITS)] for i in range(_WIDTH))
    return f"gpu-{rounds or ''}{'-' if rounds else ''}{text}"


def live_slots(labels: Iterable[str | None], *, owner: str, stack: str) -> list[str]:
    """The slot of each label that is exactly this owner's and this stack's, one entry a label."""
    parsed = [Label.parse(text) for text in labels]
    return [
        label.slot for label in parsed if label and (label.owner, label.stack) == (owner, stack)
    ]
