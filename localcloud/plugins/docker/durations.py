"""Durations as Go writes them: 30s, 1m0s, 1h30m0s, 1.5s, 100ms."""

import re

_NANOSECONDS = {
    "ns": 1,
    "us": 1_000,
    "µs": 1_000,
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60_000_000_000,
    "h": 3_600_000_000_000,
}
_PART = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h)")


def nanoseconds(text: str) -> int:
    """Parse a duration. Raises ValueError."""
    if text in {"", "0"}:
        return 0
    parts = _PART.findall(text)
    if "".join(number + unit for number, unit in parts) != text:
        raise ValueError(f"{text!r} is no duration, expected one as 30s or 1m30s")
    return round(sum(float(number) * _NANOSECONDS[unit] for number, unit in parts))


def canonical(duration: int) -> str:
    """Write nanoseconds as Go does."""
    if duration == 0:
        return "0s"
    for unit in ("ns", "µs", "ms"):
        size = _NANOSECONDS[unit]
        if duration < size * 1000:
            return f"{_decimal(duration, size)}{unit}"
    minutes, rest = divmod(duration, _NANOSECONDS["m"])
    hours, minutes = divmod(minutes, 60)
    seconds = f"{_decimal(rest, _NANOSECONDS['s'])}s"
    if hours:
        return f"{hours}h{minutes}m{seconds}"
    return f"{minutes}m{seconds}" if minutes else seconds


def _decimal(amount: int, size: int) -> str:
    whole, rest = divmod(amount, size)
    digits = f"{rest:0{len(str(size)) - 1}d}".rstrip("0") if rest else ""
    return f"{whole}.{digits}" if digits else str(whole)
