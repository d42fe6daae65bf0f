"""How many copies of an agent run, and how they are replaced."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from ossa import sources
from ossa.reader import Found, Reader
from ossa.spec import Sourced, Strategy
from ossa.values import shown

DEFAULT_REPLICAS = 1
DEFAULT_TARGET = 80

_STRATEGIES: Mapping[str, Strategy | Literal["none"]] = {
    "rolling": "RollingUpdate",
    "rollingupdate": "RollingUpdate",
    "recreate": "Recreate",
    "bluegreen": "none",
    "canary": "none",
}


@dataclass(frozen=True, kw_only=True)
class Scale:
    """The least and the most copies, and the load of one that asks for another."""

    least: Sourced[int]
    most: Sourced[int]
    target: Sourced[int]


def scale(reader: Reader) -> Scale:
    """The replicas of the first block that tells any; one copy where none does."""
    for block in sources.REPLICAS:
        on = block.switch is None or reader.flag(reader.find(block.switch), default=True)
        least = reader.first((*block.automatic, *block.least) if on else block.least)
        most = reader.first(block.most) if on else None
        if least is not None and isinstance(least.value, dict):
            pair = least
            least = reader.inner(pair, "min", "minReplicas", "min_replicas")
            most = most or reader.inner(pair, "max", "maxReplicas", "max_replicas")
        if least is not None or most is not None:
            return _scale(reader, least, most, reader.first(block.target) if on else None)
    return _scale(reader, None, None, None)


def _scale(reader: Reader, least: Found | None, most: Found | None, target: Found | None) -> Scale:
    low = _number(reader, least, 0) or Sourced(DEFAULT_REPLICAS)
    high = _number(reader, most, 0) or low
    if most is not None and high.value < low.value:
        message = f"at most {high.value} replicas are fewer than the at least {low.value}"
        reader.error(most.at, "range", f"{message} of {low.source}")
    elif high.value > low.value == 0:
        message = "an autoscaler does not go down to 0 unless the cluster allows it specially"
        reader.warning(low.source, "range", message)
    load = _number(reader, target, 1) or Sourced(DEFAULT_TARGET)
    return Scale(least=low, most=high, target=load)


def _number(reader: Reader, found: Found | None, least: int) -> Sourced[int] | None:
    number = reader.integer(found, least=least) if found is not None else None
    return None if found is None or number is None else Sourced(number, found.at)


def strategy(reader: Reader) -> Sourced[Strategy]:
    """How a Deployment replaces its pods; what needs more than a Deployment is a warning."""
    found = reader.first(sources.STRATEGY)
    if found is not None and isinstance(found.value, dict):
        found = reader.inner(found, "type") or found
    text = reader.text(found) if found is not None else None
    if found is None or text is None:
        return Sourced("RollingUpdate")
    known = _STRATEGIES.get(text.lower().replace("-", "").replace("_", ""))
    if known is None:
        allowed = "rolling, recreate; blue-green and canary become rolling"
        message = f"{shown(text)} is not a strategy; allowed: {allowed}"
        reader.error(found.at, "enum", message)
    elif known == "none":
        message = f"a Deployment cannot do {shown(text)}; RollingUpdate is used"
        reader.warning(found.at, "strategy", message)
    return Sourced(known if known in ("RollingUpdate", "Recreate") else "RollingUpdate", found.at)
