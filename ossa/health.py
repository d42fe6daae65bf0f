"""How Kubernetes asks an agent whether it lives and whether it is ready."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

from ossa import sources
from ossa.commands import words
from ossa.reader import Found, Reader
from ossa.spec import DEFAULT, Probe, ProbeKind
from ossa.values import shown

DEFAULT_PATH = "/health"
MOST_PORT = 65535

_LIVENESS = Probe(
    kind="http",
    path=DEFAULT_PATH,
    port=None,
    command=(),
    initial_delay_seconds=30,
    period_seconds=10,
    timeout_seconds=None,
    failure_threshold=None,
    source=DEFAULT,
)
_READINESS = replace(_LIVENESS, initial_delay_seconds=10, period_seconds=5)
_KINDS: Mapping[str, ProbeKind] = {"http": "http", "tcp": "tcp", "exec": "exec"}
_PATH = re.compile(r"/[!-~]*")
_SCHEMES = ("http", "https")
_SECONDS = re.compile(r"([0-9]{1,6})(s|m|h)?")
_UNITS = {"s": 1, "m": 60, "h": 3600}


@dataclass(frozen=True, kw_only=True)
class Health:
    """Both probes; a `port` of None is the container's. None for a probe that is off."""

    liveness: Probe | None
    readiness: Probe | None

    def at_port(self, port: int) -> "Health":
        """The same probes, asking the container's `port` where they name none."""
        return Health(
            liveness=_at_port(self.liveness, port), readiness=_at_port(self.readiness, port)
        )

    @property
    def first_port(self) -> Probe | None:
        """The first probe that names a port."""
        probes = (self.liveness, self.readiness)
        return next((one for one in probes if one is not None and one.port is not None), None)


def health(reader: Reader) -> Health:
    """The checks of the first place that has any; one check there serves both probes."""
    for place in sources.HEALTH:
        liveness = reader.first(place.liveness)
        readiness = reader.first(place.readiness)
        either = liveness or readiness
        if either is not None:
            return Health(
                liveness=_probe(reader, liveness or either, _LIVENESS),
                readiness=_probe(reader, readiness or either, _READINESS),
            )
    return Health(liveness=_LIVENESS, readiness=_READINESS)


def port_number(reader: Reader, found: Found) -> int | None:
    """A port of TCP."""
    return reader.integer(found, least=1, most=MOST_PORT)


def _probe(reader: Reader, found: Found, standard: Probe) -> Probe | None:
    standard = replace(standard, source=found.at)
    if isinstance(found.value, bool):
        return standard if found.value else None
    if isinstance(found.value, str):
        path, port = _address(reader, found)
        return replace(standard, path=path, port=port)
    if not isinstance(found.value, dict):
        reader.wrong_type(found, "a path, a URI, true, false or a mapping")
        return standard
    if not reader.flag(reader.inner(found, "enabled"), default=True):
        return None
    return _by_kind(reader, found, _timed(reader, found, standard))


def _by_kind(reader: Reader, found: Found, timed: Probe) -> Probe:
    address = reader.inner(found, "path", "endpoint")
    command = reader.inner(found, "command")
    kind = _kind(reader, found, "exec" if command is not None and address is None else "http")
    if kind == "exec":
        return replace(timed, kind=kind, path=None, command=_command(reader, found, command))
    path, port = (DEFAULT_PATH, None) if address is None else _address(reader, address)
    named = reader.inner(found, "port")
    if named is not None:
        port = port_number(reader, named)
    return replace(timed, kind=kind, path=path if kind == "http" else None, port=port)


def _kind(reader: Reader, found: Found, inferred: ProbeKind) -> ProbeKind:
    named = reader.inner(found, "type")
    text = reader.text(named) if named is not None else None
    if named is None or text is None:
        return inferred
    kind = _KINDS.get(text)
    if kind is None:
        allowed = ", ".join(_KINDS)
        reader.error(named.at, "enum", f"{shown(text)} is not a kind of probe; allowed: {allowed}")
    return kind or inferred


def _command(reader: Reader, found: Found, command: Found | None) -> tuple[str, ...]:
    if command is None:
        message = "command is missing: a probe of type exec runs one"
        reader.error(f"{found.at}/command", "required", message)
        return ()
    return words(reader, command)


def _timed(reader: Reader, found: Found, standard: Probe) -> Probe:
    initial = reader.inner(found, "initial_delay_seconds", "initialDelaySeconds")
    period = reader.inner(found, "period_seconds", "periodSeconds", "interval")
    timeout = reader.inner(found, "timeout_seconds", "timeoutSeconds", "timeout")
    failures = reader.inner(found, "failure_threshold", "failureThreshold")
    delay = _seconds(reader, initial, 0)
    return replace(
        standard,
        initial_delay_seconds=standard.initial_delay_seconds if delay is None else delay,
        period_seconds=_seconds(reader, period, 1) or standard.period_seconds,
        timeout_seconds=_seconds(reader, timeout, 1),
        failure_threshold=reader.integer(failures, least=1) if failures is not None else None,
    )


def _seconds(reader: Reader, found: Found | None, least: int) -> int | None:
    if found is None:
        return None
    if isinstance(found.value, str):
        match = _SECONDS.fullmatch(found.value)
        if match is None:
            reader.wrong_type(found, "whole seconds, such as 30 or 30s")
            return None
        found = Found(at=found.at, value=int(match[1]) * _UNITS[match[2] or "s"])
    return reader.integer(found, least=least)


def _address(reader: Reader, found: Found) -> tuple[str, int | None]:
    """The path and the port of a path or a URI; a probe asks the pod, whatever the host."""
    text = reader.text(found)
    if text is None:
        return DEFAULT_PATH, None
    path, port = (text, None) if text.startswith("/") else _of_uri(text)
    if path is not None and _PATH.fullmatch(path):
        return path, port
    allowed = "a path such as /health, or an http URI"
    reader.error(found.at, "format", f"{shown(text)} cannot be asked; allowed: {allowed}")
    return DEFAULT_PATH, None


def _of_uri(text: str) -> tuple[str | None, int | None]:
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        return None, None
    if parts.scheme not in _SCHEMES or port == 0:
        return None, None
    query = f"?{parts.query}" if parts.query else ""
    return f"{parts.path or '/'}{query}", port


def _at_port(probe: Probe | None, port: int) -> Probe | None:
    if probe is None or probe.kind == "exec" or probe.port is not None:
        return probe
    return replace(probe, port=port)
