"""Amounts as Kubernetes writes them: 0.5 and 500m are one, and so are 1024Mi and 1Gi."""

import re
from decimal import Decimal

_FORM = re.compile(
    r"(?P<number>[+-]?(\d+(\.\d*)?|\.\d+))(?P<unit>|[numkMGTPE]|[KMGTPE]i|[eE][+-]?\d+)"
)
_DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50, "Ei": 60}


def amount(text: str) -> Decimal | None:
    """The number that a quantity stands for; None for what is none."""
    found = _FORM.fullmatch(text.strip())
    if found is None:
        return None
    number, unit = Decimal(found["number"]), found["unit"]
    if unit in _BINARY:
        return number * Decimal(2 ** _BINARY[unit])
    power = _DECIMAL[unit] if unit in _DECIMAL else int(unit[1:])
    return number.scaleb(power)
