"""What the API server refuses, in one line and with a way out."""

import re
from collections.abc import Mapping
from urllib.parse import quote

from localcloud.plugins.model import PluginError
from localcloud.plugins.values import Value, Values, map_of, maps_of, text_of

UNAUTHORIZED, FORBIDDEN, NOT_FOUND, CONFLICT, INVALID, TOO_MANY = 401, 403, 404, 409, 422, 429

_LONGEST = 600
# What the server says before the part that matters, when its schema does not know a field.
_SCHEMA = re.compile(r"^failed to (?:create typed patch object|convert new object) \(.*?\)[^:]*: ")
_HINTS = (
    ("exceeded quota", "raise the namespace's ResourceQuota, or ask for less"),
    ("violates PodSecurity", "the namespace's Pod Security profile refuses such pods"),
    ("being terminated", "the namespace is going: wait until it is gone"),
    ("admission webhook", "a policy of the cluster refuses it"),
)


class ApiError(PluginError):
    """An answer of the API server that is no success."""

    def __init__(self, what: str, server: str, status: int, body: Mapping[str, Value]) -> None:
        self.status = status
        self.reason = text_of(body, "reason")
        self._name = text_of(map_of(body, "details"), "name")
        self.causes = maps_of(map_of(body, "details"), "causes")
        self.message = text_of(body, "message") or f"the server answers {status}"
        super().__init__(_text(what, server, self))

    @property
    def transient(self) -> bool:
        """Whether the same request may do better in a moment."""
        # A schema's refusal is a 500 as well, but one without a reason.
        return self.status in {TOO_MANY, 502, 503, 504} or self.reason in {
            "InternalError",
            "ServerTimeout",
            "Timeout",
        }

    def says_gone(self, path: str) -> bool:
        """Whether the object of `path` is what was not found; not its namespace, nor the API."""
        named = quote(self._name, safe="") == path.rpartition("/")[2]
        return self.status == NOT_FOUND and self.reason == "NotFound" and named


def _text(what: str, server: str, error: ApiError) -> str:
    message = _SCHEMA.sub("", " ".join(error.message.split()))
    if error.status == UNAUTHORIZED:
        return (
            f"{what}: {server} does not know the kubeconfig's user: {message}\n"
            "hint: renew the token or the certificate in the provider's kubeconfig"
        )
    if error.reason == "Conflict" and error.causes:
        fields = [text_of(cause, "field") for cause in error.causes]
        message = f"{message} ({', '.join(dict.fromkeys(fields))})"
    text = f"{what}: {_short(message)}"
    hint = _hint(error, message)
    return f"{text}\nhint: {hint}" if hint else text


def _hint(error: ApiError, message: str) -> str:
    for words, hint in _HINTS:
        if words in message:
            return hint
    if error.status == FORBIDDEN and " cannot " in message:
        return "grant that to the kubeconfig's user by a Role and a RoleBinding"
    if error.status == NOT_FOUND:
        return "create the namespace first, and let the resource depend on it"
    if error.status == INVALID and "immutable" in message:
        return "delete it first, or give the new one another name"
    return ""


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def manager_of(existing: Values) -> str:
    """Who made an object, as its labels and its managed fields tell."""
    metadata = map_of(existing, "metadata")
    label = text_of(map_of(metadata, "labels"), "app.kubernetes.io/managed-by")
    managers = dict.fromkeys(text_of(one, "manager") for one in maps_of(metadata, "managedFields"))
    fields = ", ".join(name for name in managers if name)
    told = [f"label managed-by: {label}"] if label else []
    told += [f"fields of {fields}"] if fields else []
    return "; ".join(told) or "nobody that says so"
