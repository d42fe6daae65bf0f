"""The image of an agent's container."""

import re

from ossa import sources
from ossa.reader import Found, Reader
from ossa.spec import Sourced
from ossa.values import shown

_PART = r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?"
_NAME = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_REFERENCE = re.compile(
    rf"(?:{_PART}(?:\.{_PART})*(?::[0-9]{{1,5}})?/)?{_NAME}(?:/{_NAME})*"
    r"(?::(?P<tag>[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}))?(?P<digest>@sha256:[a-f0-9]{64})?"
)
_LONGEST = 500
_POLICIES = re.compile("Always|IfNotPresent|Never")


def image(reader: Reader) -> tuple[Sourced[str | None], Sourced[str | None]]:
    """The image and its pull policy; nothing is made up for what the document does not name."""
    found = reader.first(sources.IMAGE)
    if found is None:
        at = "/agent/runtime/image" if reader.legacy else "/spec/deployment/image"
        message = "no image is named; name it here or where the agent is deployed"
        reader.warning(at, "image", message)
        return Sourced(None), Sourced(None)
    text = _joined(reader, found) if isinstance(found.value, dict) else reader.text(found)
    if text is not None:
        text = _checked(reader, found, text)
    named = reader.inner(found, "pullPolicy")
    policy = None
    if named is not None:
        policy = reader.matching(named, _POLICIES, "Always, IfNotPresent, Never")
    source = Sourced[str | None](None) if named is None else Sourced(policy, named.at)
    return Sourced(text, found.at), source


def _joined(reader: Reader, found: Found) -> str | None:
    """The image of a mapping with `repository` and `tag`."""
    repository, tag = reader.inner(found, "repository"), reader.inner(found, "tag")
    if repository is None:
        message = "repository is missing: an image is a text, or a repository and a tag"
        reader.error(f"{found.at}/repository", "required", message)
        return None
    name = reader.text(repository)
    if tag is None or name is None:
        return name
    label = reader.text(tag)
    return None if label is None else f"{name}:{label}"


def _checked(reader: Reader, found: Found, text: str) -> str:
    match = _REFERENCE.fullmatch(text) if len(text) <= _LONGEST else None
    if match is None:
        allowed = "[registry/]name[:tag][@sha256:digest], the name in lower case"
        reader.error(found.at, "image", f"{shown(text)} is not an image; allowed: {allowed}")
    elif not match["digest"] and match["tag"] in (None, "latest"):
        message = f"{shown(text)} names no version; pods of one Deployment may run different code"
        reader.warning(found.at, "image", message)
    return text
