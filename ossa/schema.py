"""Findings by a JSON Schema of the user's choice."""

import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, cast

from contracts.errors import SettingsError
from ossa.reader import Reader
from ossa.values import child, shown

if TYPE_CHECKING:
    from jsonschema.exceptions import ValidationError
    from jsonschema.protocols import Validator


def validator(schema: Mapping[str, object]) -> "Validator":
    """A validator for the draft that the schema names; SettingsError when it is no schema.

    References stay inside the schema: nothing is fetched.
    """
    # Only who brings a schema pays for the import.
    from jsonschema import Draft7Validator, validators  # noqa: PLC0415
    from jsonschema.exceptions import SchemaError  # noqa: PLC0415
    from referencing import Registry  # noqa: PLC0415

    draft = schema.get("$schema", "")
    if not isinstance(draft, str):
        raise SettingsError(f"the schema's $schema must be a text, got {shown(draft)}")
    # A draft nobody knows is read as 7, the draft of OSSA's own schemas.
    kind = validators.validator_for(schema, default=Draft7Validator)
    try:
        kind.check_schema(dict(schema))
    except SchemaError as error:
        place = "".join(f"/{key}" for key in error.absolute_path) or "its root"
        problem = error.message[:200]
        raise SettingsError(
            f"the schema is not a valid JSON Schema at {place}: {problem}"
        ) from None
    return kind(schema, registry=Registry())


def apply(reader: Reader, validator: "Validator", *, known_kind: bool) -> None:
    """Notes what the schema refuses: errors on the paths that were read, else remarks.

    Without a known kind nothing is told about the spec: a schema's branches by kind then all
    fire, and only one of their errors would be real. A place that was told of already is
    left out, unless the schema is the stricter one.
    """
    try:
        errors = list(validator.iter_errors(reader.document.value))
    except Exception as error:
        # A schema may refer to nothing, or to itself without end, or hold a wrong pattern.
        problem = f"{type(error).__name__}: {error}".partition("\n")[0][:200]
        raise SettingsError(f"the schema cannot be used: {problem}") from error
    told = {found.pointer for found in reader.findings}
    refused = {found.pointer for found in reader.findings if found.severity == "error"}
    for refusal in errors:
        for at, message in _places(refusal):
            fatal = reader.used(at)
            below_spec = f"{at}/".startswith("/spec/")
            if at in (refused if fatal else told) or (below_spec and not known_kind):
                continue
            note = reader.error if fatal else reader.remark
            note(at, str(refusal.validator), f"by the schema, {message}")


def _places(error: "ValidationError") -> Iterator[tuple[str, str]]:
    """Where the error is and what it says; a missing or an extra key is itself the place."""
    at = ""
    for key in error.absolute_path:
        at = child(at, key)
    instance, wanted = cast("object", error.instance), cast("object", error.validator_value)
    if error.validator == "required" and isinstance(wanted, list):
        names = cast("list[str]", wanted)
        for name in names:
            if name not in cast("Mapping[str, object]", instance):
                yield child(at, name), f"{name} is required"
    elif error.validator == "additionalProperties":
        for name in _extra(error):
            yield child(at, name), f"{name} is not allowed here"
    else:
        yield at, f"{shown(instance)} is not allowed; {error.validator}: {shown(wanted)}"


def _extra(error: "ValidationError") -> list[str]:
    rules = cast("Mapping[str, Mapping[str, object]]", error.schema)
    named, patterns = rules.get("properties", {}), rules.get("patternProperties", {})
    return [
        name
        for name in cast("Mapping[str, object]", error.instance)
        if name not in named and not any(re.search(pattern, name) for pattern in patterns)
    ]
