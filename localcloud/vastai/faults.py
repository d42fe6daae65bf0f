"""Faults that a test has ordered: what goes wrong with which of the next calls."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from localcloud.vastai.wire import Json, as_number, invalid

CALL_KINDS = {
    "offer_vanishes",
    "resources_unavailable",
    "rate_limited",
    "server_error",
    "lost_reply",
    "never_received",
    "auth_as_404",
}
RENTAL_KINDS = {"stuck_loading", "boot_error", "list_lag"}
KINDS = CALL_KINDS | RENTAL_KINDS | {"slow"}
ABOUT_CREATES = RENTAL_KINDS | {"offer_vanishes", "resources_unavailable"}
CHOICES: Mapping[tuple[str, str], tuple[object, ...]] = {
    ("offer_vanishes", "form"): ("404", "404_legacy", "410"),
    ("rate_limited", "form"): ("text", "json", "retry_after", "search_quota"),
    ("server_error", "when"): ("before", "after"),
    ("server_error", "status"): (503, 500, 502, 504),
}
"""Parameters with a closed set of values; the first is the default."""


@dataclass
class Fault:
    """One ordered fault; `times` counts down."""

    kind: str
    on: str
    times: int
    skip: int
    """Matching calls that pass before it takes effect."""
    parameters: Json

    def text(self, name: str) -> str:
        """Return a parameter as text, empty when it was not given."""
        return str(self.parameters.get(name) or "")

    def number(self, name: str, default: float) -> float:
        """Return a numeric parameter."""
        return as_number(self.parameters.get(name, default), name)

    def choice(self, name: str) -> object:
        """Return a parameter with a closed set of values."""
        return self.parameters.get(name, CHOICES[self.kind, name][0])

    def as_json(self) -> Json:
        """Return it as it was ordered."""
        return {
            "kind": self.kind,
            "on": self.on,
            "times": self.times,
            "skip": self.skip,
            **self.parameters,
        }


@dataclass
class FaultQueue:
    """Faults in the order they were ordered; the first that matches a call is taken."""

    waiting: list[Fault] = field(default_factory=list[Fault])

    def order(self, body: Json) -> Fault:
        """Queue a fault as described by `POST /_admin/faults`."""
        rest = dict(body)
        kind = rest.pop("kind", None)
        if not isinstance(kind, str) or kind not in KINDS:
            raise invalid(f"kind must be one of {sorted(KINDS)}, got {kind!r}")
        on = rest.pop("on", "create" if kind in ABOUT_CREATES else "any")
        if not isinstance(on, str):
            raise invalid(f"on must be the name of an endpoint or group, got {on!r}")
        times = int(as_number(rest.pop("times", 1), "times"))
        skip = int(as_number(rest.pop("skip", 0), "skip"))
        _check_choices(kind, rest)
        fault = Fault(kind, on, times, skip, rest)
        self.waiting.append(fault)
        return fault

    def take(self, kinds: set[str], names: set[str]) -> Fault | None:
        """Use up one occurrence of the first fault of these kinds for an endpoint's names."""
        for fault in self.waiting:
            if fault.kind not in kinds or fault.on not in names:
                continue
            if fault.skip > 0:
                fault.skip -= 1
                continue
            fault.times -= 1
            if fault.times <= 0:
                self.waiting.remove(fault)
            return fault
        return None

    def clear(self) -> None:
        """Cancel what was ordered and has not happened."""
        self.waiting.clear()


def _check_choices(kind: str, parameters: Json) -> None:
    for (owner, name), allowed in CHOICES.items():
        if owner == kind and name in parameters and parameters[name] not in allowed:
            raise invalid(f"{kind}.{name} must be one of {allowed}, got {parameters[name]!r}")
