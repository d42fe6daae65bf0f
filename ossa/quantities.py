"""Quantities as Kubernetes writes them: `500m`, `2`, `1.5Gi`, `1e3`."""

import re
from decimal import Decimal

from ossa.values import shown

# The exponent is bounded: no machine has 1e99 of anything, and Decimal would try.
_QUANTITY = re.compile(
    r"(?P<number>[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+))"
    r"(?:(?P<suffix>[KMGTPE]i|[numkMGTPE])|[eE](?P<exponent>[+-]?[0-9]{1,2}))?"
)
_LONGEST = 40
_SUFFIXES = {
    "n": Decimal("1e-9"),
    "u": Decimal("1e-6"),
    "m": Decimal("1e-3"),
    "k": Decimal(10**3),
    "M": Decimal(10**6),
    "G": Decimal(10**9),
    "T": Decimal(10**12),
    "P": Decimal(10**15),
    "E": Decimal(10**18),
    "Ki": Decimal(2**10),
    "Mi": Decimal(2**20),
    "Gi": Decimal(2**30),
    "Ti": Decimal(2**40),
    "Pi": Decimal(2**50),
    "Ei": Decimal(2**60),
}
# Above this Kubernetes silently takes the greatest number it knows.
_GREATEST = Decimal(2**63 - 1)


def quantity(text: str) -> Decimal:
    """The amount that `text` stands for, in cores or bytes; ValueError says why it is none."""
    match = _QUANTITY.fullmatch(text)
    if match is None or len(text) > _LONGEST:
        raise ValueError(
            f"{shown(text)} is no Kubernetes quantity; allowed: a number, with a suffix or not, "
            "such as 2, 500m, 512Mi or 1.5Gi"
        )
    amount = Decimal(match["number"])
    if match["exponent"]:
        amount = amount.scaleb(int(match["exponent"]))
    elif match["suffix"]:
        amount *= _SUFFIXES[match["suffix"]]
    if not 0 < amount <= _GREATEST:
        raise ValueError(f"{shown(text)} must be more than 0 and no more than Kubernetes can count")
    return amount


def written(number: float) -> str:
    """A plain number as a quantity, without an exponent: 2 is `2`, 0.5 is `0.5`."""
    return f"{Decimal(repr(number)):f}"
