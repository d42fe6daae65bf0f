"""What an agent asks of a machine, and what it may use at most."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal

from ossa import sources
from ossa.quantities import quantity, written
from ossa.reader import Found, Reader
from ossa.spec import Sourced
from ossa.values import is_number, shown, tokens

Amounts = dict[str, Sourced[str]]

DEFAULTS: Mapping[str, str] = {"cpu": "250m", "memory": "256Mi"}


@dataclass(frozen=True)
class _Key:
    """A name under which an amount stands, and the unit of a plain number there."""

    resource: str
    unit: str = ""


_KEYS: Mapping[str, _Key] = {
    "cpu": _Key("cpu"),
    "memory": _Key("memory"),
    "ephemeral-storage": _Key("ephemeral-storage"),
    "storage": _Key("ephemeral-storage"),
    "cpu_millicores": _Key("cpu", "m"),
    "max_cpu_cores": _Key("cpu"),
    "memory_mb": _Key("memory", "Mi"),
    "max_memory_mb": _Key("memory", "Mi"),
}
# Nothing runs in less; a number without a unit is meant as megabytes and taken as bytes.
_LEAST_MEMORY = Decimal(2**20)
_SIDES = ("requests", "limits")


@dataclass(frozen=True, kw_only=True)
class Resources:
    """Requests and limits by resource: cpu, memory and ephemeral-storage."""

    requests: Amounts
    limits: Amounts


def resources(reader: Reader) -> Resources:
    """The first block that says anything; what it leaves out is copied, or the default."""
    found = next((one for one in _blocks(reader) if one.value != {}), None)
    block = reader.mapping(found)
    requests: Amounts = {}
    limits: Amounts = {}
    if found is not None and any(block.get(side) is not None for side in _SIDES):
        requests = _side(reader, reader.inner(found, "requests"))
        limits = _side(reader, reader.inner(found, "limits"))
        _unknown(reader, found, (key for key in block if key not in _SIDES))
    elif found is not None:
        requests = _side(reader, found)
    # Each side stands in for the other; the flat form is both.
    requests, limits = {**limits, **requests}, {**requests, **limits}
    for resource, amount in DEFAULTS.items():
        requests.setdefault(resource, Sourced(amount))
        limits.setdefault(resource, Sourced(amount))
    _compare(reader, requests, limits)
    return Resources(requests=requests, limits=limits)


def _blocks(reader: Reader) -> Iterable[Found]:
    return (found for path in sources.RESOURCES if (found := reader.find(path)) is not None)


def _side(reader: Reader, found: Found | None) -> Amounts:
    amounts: Amounts = {}
    if found is None:
        return amounts
    block = reader.mapping(found)
    for name, key in _KEYS.items():
        if key.resource not in amounts and (one := reader.inner(found, name)) is not None:
            amount = _amount(reader, one, key)
            if amount is not None:
                amounts[key.resource] = Sourced(amount, one.at)
    _unknown(reader, found, (name for name in block if name not in _KEYS))
    return amounts


def _amount(reader: Reader, found: Found, key: _Key) -> str | None:
    value = found.value
    if isinstance(value, int | float) and is_number(value):
        text = written(value) + key.unit
    elif isinstance(value, str) and not key.unit:
        text = value
    else:
        reader.wrong_type(found, "a number" if key.unit else "a number or a quantity such as 500m")
        return None
    if not reader.resolved(found):
        return None
    try:
        amount = quantity(text)
    except ValueError as error:
        reader.error(found.at, "quantity", str(error))
        return None
    if key.resource == "memory" and amount < _LEAST_MEMORY:
        message = f"{shown(value)} is {amount:f} bytes of memory; is a unit missing, such as Mi?"
        reader.warning(found.at, "quantity", message)
    return text


def _unknown(reader: Reader, found: Found, names: Iterable[str]) -> None:
    for name in names:
        one = reader.inner(found, name)
        if one is not None and one.value not in (False, 0):
            known = "cpu, memory, ephemeral-storage"
            message = f"{name} is not carried over to the Deployment; taken are {known}"
            reader.warning(one.at, "unknown", message)


def _compare(reader: Reader, requests: Amounts, limits: Amounts) -> None:
    for resource, wanted in requests.items():
        limit = limits[resource]
        if quantity(wanted.value) > quantity(limit.value):
            message = (
                f"{tokens(wanted.source)[-1]} {shown(wanted.value)} is requested, which is more "
                f"than the limit {shown(limit.value)} of {limit.source}"
            )
            reader.error(wanted.source, "quantity", message)
