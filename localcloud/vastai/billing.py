"""Money in integers, so that a bill is exact.

Rates are whole micro-dollars per hour and time is whole milliseconds; their product, a *unit*, is
1 / 3.6e12 dollars.
"""

from dataclasses import dataclass, replace
from decimal import Decimal

MICROS_PER_DOLLAR = 1_000_000
MS_PER_HOUR = 3_600_000
HOURS_PER_MONTH = 24 * 30
UNITS_PER_DOLLAR = MICROS_PER_DOLLAR * MS_PER_HOUR


def milliseconds(moment: float) -> int:
    """Return epoch seconds as whole milliseconds."""
    return round(moment * 1000)


def micros(dollars: float) -> int:
    """Return dollars as whole micro-dollars."""
    return round(dollars * MICROS_PER_DOLLAR)


def dollars(units: int) -> Decimal:
    """Return metered units as dollars, rounded to 12 places."""
    return (Decimal(units) / UNITS_PER_DOLLAR).quantize(Decimal("1e-12"))


def dollar_text(units: int) -> str:
    """Return metered units as dollars, never in scientific notation."""
    return f"{dollars(units):f}"


def storage_rate(micros_per_gb_month: int, gigabytes: float) -> int:
    """Return the micro-dollars per hour of a disk; a month has 720 hours."""
    return round(micros_per_gb_month * gigabytes / HOURS_PER_MONTH)


@dataclass(frozen=True)
class Meter:
    """Units used until `since_ms`, and the rate charged from there on."""

    since_ms: int
    rate: int = 0
    used: int = 0

    def read(self, moment: float) -> int:
        """Return the units used until a moment."""
        return self.used + self.rate * max(0, milliseconds(moment) - self.since_ms)

    def switched(self, rate: int, moment: float) -> "Meter":
        """Return the meter that charges `rate` from `moment` on."""
        return replace(
            self,
            used=self.read(moment),
            rate=rate,
            since_ms=max(self.since_ms, milliseconds(moment)),
        )
