"""Label values for texts that Kubernetes would refuse as they stand."""

import hashlib
import re

# Kubernetes' own rule: empty, or up to 63 characters that begin and end alphanumeric.
VALUE = re.compile(r"(?:[A-Za-z0-9](?:[-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")
_NAME = re.compile(r"[A-Za-z0-9](?:[-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")
_PART = r"[a-z0-9](?:[-a-z0-9]*[a-z0-9])?"
_PREFIX = re.compile(rf"{_PART}(?:\.{_PART})*")
_LONGEST_PREFIX = 253

_VERSION = re.compile(r"[A-Za-z0-9.-]+/[A-Za-z0-9.-]+")
_ILLEGAL = re.compile(r"[^A-Za-z0-9._-]+")
_ENDS = "-_."
_READABLE = 52
_DIGEST = 10


def is_value(text: str) -> bool:
    """Whether Kubernetes takes `text` as a label value."""
    return VALUE.fullmatch(text) is not None


def is_key(text: str) -> bool:
    """Whether Kubernetes takes `text` as the key of a label or an annotation."""
    prefix, slash, name = text.rpartition("/")
    if slash and (len(prefix) > _LONGEST_PREFIX or not _PREFIX.fullmatch(prefix)):
        return False
    return _NAME.fullmatch(name) is not None


def label_value(text: str) -> str:
    """`text` itself where it is a legal value, else a readable part of it and a digest."""
    return text if is_value(text) else _digested(text)


def version_label(api_version: str) -> str:
    """The label of an apiVersion: `ossa/v0.3.3` is `ossa_v0.3.3`, which `version_of` reads back.

    The slash becomes `_` because prereleases already hold `-`. Anything else is digested, so a
    text with `_` of its own is never mistaken for such a label.
    """
    label = api_version.replace("/", "_")
    if _VERSION.fullmatch(api_version) and is_value(label):
        return label
    return _digested(api_version)


def version_of(label: str) -> str | None:
    """The apiVersion that `version_label` turned into `label`; None where that was digested."""
    version = label.replace("_", "/")
    return version if _VERSION.fullmatch(version) and is_value(label) else None


def _digested(text: str) -> str:
    digest = hashlib.sha256(text.encode()).hexdigest()[:_DIGEST]
    readable = _ILLEGAL.sub("_", text).strip(_ENDS)[:_READABLE].strip(_ENDS)
    return f"{readable}-{digest}" if readable else digest
