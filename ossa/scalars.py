"""What the text of a YAML scalar stands for, and the templates inside it."""

import math
import re
from collections.abc import Mapping
from typing import cast

_INT = re.compile(r"[-+]?[0-9]+")
_BASED = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_WORDS: Mapping[str, bool | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
# Longer digits are an identifier, not an amount; Python refuses to read thousands of them.
_LONGEST_NUMBER = 40

_TEMPLATE = re.compile(
    r"\$\{(?P<name>[A-Za-z_]\w*)(?::?-(?P<default>[^}]*))?\}"
    r"|\{\{-?\s*[.$]?(?P<braced>[A-Za-z_][\w.]*)\s*-?\}\}",
    re.ASCII,
)
# Also what no values can fill in: `${{ inputs.x }}`, `{{ a | b }}`.
_UNRESOLVED = re.compile(r"\$\{[^}]*\}|\{\{.*?\}\}", re.DOTALL)


def plain(text: str) -> str | int | float | bool | None:
    """An unquoted scalar by YAML 1.2's core schema; `yes` and dates stay text.

    So do `.inf`, `.nan` and endless digits, which JSON cannot write.
    """
    if text in _WORDS:
        return _WORDS[text]
    if len(text) > _LONGEST_NUMBER:
        return text
    if _INT.fullmatch(text):
        return int(text)
    if _BASED.fullmatch(text):
        return int(text, 0)
    number = float(text) if _FLOAT.fullmatch(text) else math.inf
    return number if math.isfinite(number) else text


def template_in(text: str) -> str | None:
    """The first template in `text` that nobody filled in."""
    found = _UNRESOLVED.search(text) if "{" in text else None
    return found[0] if found else None


def filled(text: str, values: Mapping[str, str]) -> str:
    """`text` with its templates filled in; `${X:-default}` falls back, others may remain."""

    def value(match: re.Match[str]) -> str:
        name, default = match["name"] or match["braced"], cast("str | None", match["default"])
        known = values.get(name, default)
        return match[0] if known is None else known

    return _TEMPLATE.sub(value, text)
