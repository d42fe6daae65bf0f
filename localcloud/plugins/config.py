"""The provider's own settings, which the SDKs send as JSON within strings."""

import json

from localcloud.plugins.shapes import Fields, Shape
from localcloud.plugins.values import Properties, Value, leaves

# The engine adds these to every provider resource.
_ENGINE = frozenset({"__internal", "pluginDownloadURL", "version"})


def settings(sent: Properties, fields: Fields) -> Properties:
    """Return the settings as the shapes have them, without the engine's own."""
    shapes: dict[str, Shape] = {name.removesuffix("!"): shape for name, shape in fields.items()}
    values = {
        name: _parsed(value, shapes.get(name, "any"))
        for name, value in sent.items()
        if name not in _ENGINE
    }
    # A secret within JSON comes as one with all of it, so each text of it is one.
    parts = {
        leaf for name in sent.secret for leaf in leaves(values.get(name)) if isinstance(leaf, str)
    }
    return Properties(values, secret=sent.secret, words=sent.words | parts)


def _parsed(value: Value, shape: Shape) -> Value:
    if not isinstance(value, str) or shape in ("string", "any"):
        return value
    try:
        parsed: Value = json.loads(value)
    except ValueError:
        return value  # the check of the shapes names it
    return parsed
