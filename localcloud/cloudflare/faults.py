"""Errors that a test orders ahead: the next answers to some calls."""

import re
from dataclasses import dataclass, field

from localcloud.cloudflare.errors import ApiError, bad_request
from localcloud.cloudflare.state import Json

MOST = 1000


@dataclass
class Fault:
    """The next `times` calls that fit are answered with an error."""

    method: str
    path: re.Pattern[str]
    status: int
    code: int
    message: str
    times: int
    done: bool
    """Whether the call takes effect before its answer is lost."""

    def fits(self, method: str, path: str) -> bool:
        """Return whether a call is meant."""
        return self.method in {"*", method} and self.path.search(path) is not None

    def as_json(self) -> Json:
        """Return it as it was ordered."""
        return {**vars(self), "path": self.path.pattern}


@dataclass
class Faults:
    """What is ordered and did not come yet, in order."""

    waiting: list[Fault] = field(default_factory=list[Fault])

    def order(self, wanted: Json) -> Fault:
        """Order a fault; ApiError says what is wrong with it."""
        fault = Fault(
            method=_text(wanted, "method", "*").upper(),
            path=_pattern(_text(wanted, "path", "")),
            status=_number(wanted, "status", 500, 400, 599),
            code=_number(wanted, "code", 10000, 0, 10**6),
            message=_text(wanted, "message", "an ordered fault"),
            times=_number(wanted, "times", 1, 1, MOST),
            done=wanted.get("done") is True,
        )
        known = {*fault.as_json()}
        if wanted.keys() - known:
            raise bad_request(1003, f"a fault has {sorted(known)}, got {sorted(wanted)}")
        self.waiting.append(fault)
        return fault

    def take(self, method: str, path: str) -> tuple[ApiError, bool] | None:
        """Use up one fault that fits: the error, and whether the call takes effect."""
        for fault in self.waiting:
            if fault.fits(method, path):
                fault.times -= 1
                if not fault.times:
                    self.waiting.remove(fault)
                return ApiError(fault.status, fault.code, fault.message), fault.done
        return None


def _text(wanted: Json, name: str, usual: str) -> str:
    value = wanted.get(name, usual)
    if not isinstance(value, str):
        raise bad_request(1003, f"{name} must be a string, got {value!r}")
    return value


def _number(wanted: Json, name: str, usual: int, least: int, most: int) -> int:
    value = wanted.get(name, usual)
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise bad_request(1003, f"{name} must be from {least} to {most}, got {value!r}")
    return value


def _pattern(text: str) -> re.Pattern[str]:
    try:
        return re.compile(text)
    except re.error as error:
        raise bad_request(1003, f"path must be a regular expression: {error}") from None
