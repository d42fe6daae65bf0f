"""How settings documents are read: strictly, and with every error at once."""

from collections.abc import Iterable, Mapping
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError, ValidationInfo, field_validator
from pydantic.alias_generators import to_camel

from contracts.errors import SettingsError

M = TypeVar("M", bound=BaseModel)
# How pydantic names the branch of a union in a path; a person has no such key.
_BRANCHES = frozenset(
    {
        "[key]",
        "bullmq",
        "constrained-int",
        "http-json",
        "int",
        "literal['auto']",
        "prometheus",
        "redis-list",
        "redis-stream",
    }
)


class Strict(BaseModel):
    """A frozen document that refuses keys it does not know; keys are camelCase as in Pulumi."""

    model_config = ConfigDict(
        extra="forbid",
        defer_build=True,
        frozen=True,
        allow_inf_nan=False,
        alias_generator=to_camel,
        validate_by_name=False,
        validate_by_alias=True,
        serialize_by_alias=True,
    )

    @field_validator("*", mode="before")
    @classmethod
    def _yes_is_no_number(cls, value: object, info: ValidationInfo) -> object:
        # Pydantic reads `true` as 1: `maxPricePerHour: true` would be a cap of one dollar.
        if (
            isinstance(value, bool)
            and cls.model_fields[str(info.field_name)].annotation is not bool
        ):
            raise ValueError(f"must not be true or false, got {value!r}")
        return value


def parse(model: type[M], document: object, *, where: str, key: str) -> M:
    """`document` as a `model`; a SettingsError names every wrong key by its path below `key`."""
    try:
        return model.model_validate(document)
    except ValidationError as error:
        raise SettingsError(f"{where} is not valid:\n" + _lines(error, key)) from None


def require_secrets(needed: Iterable[str], given: Mapping[str, object], *, stack: str) -> None:
    """SettingsError that names every secret which `given` lacks."""
    missing = sorted(name for name in needed if not given.get(name))
    if missing:
        raise SettingsError(
            f"agent-docker:secrets lacks {', '.join(missing)}",
            hint=f"pulumi config set --stack {stack} --secret --path "
            f"'agent-docker:secrets.{missing[0]}' (it asks for the value)",
        )


def _lines(error: ValidationError, key: str) -> str:
    return "\n".join(f"  {_path(key, e['loc'])}: {_message(e)}" for e in error.errors())


def _path(key: str, loc: tuple[int | str, ...]) -> str:
    parts = [str(part) for part in loc if part not in _BRANCHES]
    return ".".join([key, *parts])


def _message(error: Mapping[str, object]) -> str:
    if error["type"] == "extra_forbidden":
        return "is not a setting"
    if error["type"] == "missing":
        return "is required"
    text = str(error["msg"]).removeprefix("Value error, ")
    shown = error.get("input")
    # A URL may hold a password.
    simple = isinstance(shown, str | int | float | bool | None) and "://" not in str(shown)
    return f"{text}, got {shown!r}" if simple and ", got " not in text else text
