"""A resource of the API: one collection, one row, made and changed the usual way."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from localcloud.plugins.cloudflare.api import Api, Gone, Json
from localcloud.plugins.cloudflare.wire import Names, from_api, to_api
from localcloud.plugins.model import Call, Found, Made, Old, PluginError
from localcloud.plugins.shapes import Fields, Refusal, Shape, names
from localcloud.plugins.values import Properties, Value, Values, has_unknown, text_of

PREFIXES = {"accountId": "accounts", "zoneId": "zones"}
_ID = re.compile(r"[0-9A-Za-z-]{1,64}")


def token_of(name: str) -> str:
    """Return the type token of one of the SDK's names."""
    return f"cloudflare:index/{name[0].lower()}{name[1:]}:{name}"


def keep(values: Values) -> Values:
    """Return the values as they are."""
    return values


@dataclass(frozen=True)
class Place:
    """Where one row is: the property with its account or zone, that one's id, its own id."""

    scope: str
    owner: str
    id: str


@dataclass(frozen=True)
class Rest:
    """What of a type is not code."""

    collection: str
    """The path below the account or the zone."""
    inputs: Fields
    computed: Fields
    names: Names = field(default_factory=Names)
    scopes: tuple[str, ...] = ("accountId",)
    """The properties that may hold the account or the zone."""
    sent: Mapping[str, Value] = field(default_factory=dict[str, Value])
    """What a body has, in the SDK's names, where the program says nothing."""
    usual: Mapping[str, Value] = field(default_factory=dict[str, Value])
    """What the API takes where a body says nothing, if that is not just off or empty."""
    tidy: Callable[[Values], Values] = keep
    """The last touch on what the API said."""
    unread: frozenset[str] = frozenset()
    """Inputs that the API does not give back."""

    def create(self, call: Call[Api], inputs: Properties) -> Made:
        """Make the row."""
        scope = self._scope(inputs)
        owner = text_of(inputs, scope)
        row = call.client.row("POST", self._url(scope, owner), self.body(inputs))
        return Made(identity(row), {scope: owner, **self.outputs(row)})

    def read(self, call: Call[Api], old: Old) -> Found | None:
        """Read the row."""
        place = self.place(old)
        try:
            row = call.client.row("GET", self.url(place))
        except Gone:
            return None
        return self.found(place, row)

    def update(self, call: Call[Api], old: Old, inputs: Properties) -> Values:
        """Put a whole row in the place of the old one."""
        row = call.client.row("PUT", self.url(self.place(old)), self.body(inputs))
        return self.outputs(row)

    def delete(self, call: Call[Api], old: Old) -> None:
        """Remove the row; one that is gone is no trouble."""
        try:
            call.client.ask("DELETE", self.url(self.place(old)))
        except Gone:
            call.log("was gone already")

    def body(self, inputs: Mapping[str, Value]) -> Json:
        """Return what a create or a whole update sends."""
        values = {
            **self.sent,
            **{name: inputs[name] for name in inputs if inputs[name] is not None},
        }
        return {
            self.names(name): to_api(value, self.names)
            for name, value in values.items()
            if name not in self.scopes
        }

    def outputs(self, row: Json) -> Values:
        """Return a row in the SDK's names."""
        shape: dict[str, Shape] = {**self.inputs, **self.computed}
        scopes = {*self.scopes, *(f"{scope}!" for scope in self.scopes)}
        wanted: Fields = {name: inner for name, inner in shape.items() if name not in scopes}
        values = from_api(row, wanted, self.names)
        return self.tidy(values) if isinstance(values, dict) else {}

    def found(self, place: Place, row: Json) -> Found:
        """Return a row as a refresh or an import takes it."""
        outputs = {place.scope: place.owner, **self.outputs(row)}
        # An input that went away at the API must go from the state too.
        absent = names(self.inputs) - outputs.keys() - self.unread - {*self.scopes}
        outputs |= dict.fromkeys(absent)
        inputs = {
            name: value
            for name, value in outputs.items()
            if name in names(self.inputs) and not self._goes_without_saying(name, value)
        }
        return Found(place.id, outputs, inputs)

    def _goes_without_saying(self, name: str, value: Value) -> bool:
        usual = {**self.usual, **self.sent}
        if name in usual:
            return value == usual[name]
        return value is None or value is False or value in ("", [], {})

    def place(self, old: Old) -> Place:
        """Return where a row is, by the state, or by the id that an import names."""
        if "/" in old.id:
            return self._imported(old.id)
        known = {**old.inputs, **old.outputs}
        scope = self._scope(known)
        return Place(scope, _checked(text_of(known, scope), old.id), _checked(old.id, old.id))

    def _imported(self, sent: str) -> Place:
        parts = sent.split("/")
        prefixes = {PREFIXES[scope]: scope for scope in self.scopes}
        if len(self.scopes) == 1:
            parts = [PREFIXES[self.scopes[0]], *parts]
        expected = " or ".join(self._import_form(scope) for scope in self.scopes)
        if len(parts) != 3 or parts[0] not in prefixes:  # noqa: PLR2004 - kind, owner, row
            raise PluginError(f"the import id {sent!r} is none, expected {expected}")
        return Place(prefixes[parts[0]], _checked(parts[1], sent), _checked(parts[2], sent))

    def _import_form(self, scope: str) -> str:
        owner = f"<{scope.removesuffix('Id')} id>/<id>"
        return owner if len(self.scopes) == 1 else f"{PREFIXES[scope]}/{owner}"

    def _scope(self, values: Mapping[str, Value]) -> str:
        return next((name for name in self.scopes if text_of(values, name)), self.scopes[0])

    def _url(self, scope: str, owner: str) -> str:
        return f"/{PREFIXES[scope]}/{_checked(owner, owner)}/{self.collection}"

    def url(self, place: Place) -> str:
        """Return the path of one row."""
        return f"{self._url(place.scope, place.owner)}/{place.id}"


def identity(row: Json) -> str:
    """Return a row's id."""
    found: object = row.get("id")
    if not isinstance(found, str):
        raise PluginError(f"Cloudflare made something without an id: it says {sorted(row)}")
    return found


def _checked(part: str, whole: str) -> str:
    if not _ID.fullmatch(part):
        raise PluginError(f"the id {whole!r} holds {part!r}, expected letters, digits and hyphens")
    return part


def refuse_unsupported(inputs: Properties, unsupported: frozenset[str]) -> list[Refusal]:
    """Refuse inputs that exist but that this plugin cannot do."""
    return [
        Refusal(name, f"the offline cloudflare plugin does not do {name}")
        for name in sorted(unsupported & inputs.keys())
    ]


def refuse_other(inputs: Properties, name: str, allowed: tuple[str, ...]) -> list[Refusal]:
    """Refuse a text that is none of the allowed ones; one that is not known yet may be."""
    value = inputs.get(name)
    if value is None or has_unknown(value) or value in allowed:
        return []
    return [Refusal(name, f"{name} is {value!r}, expected one of {', '.join(allowed)}")]


def refuse_no_scope(inputs: Properties) -> list[Refusal]:
    """Refuse both or neither of an account and a zone."""
    if ("accountId" in inputs) != ("zoneId" in inputs):
        return []
    return [Refusal("accountId", "exactly one of accountId and zoneId must be set")]
