"""References of container images: `name:tag`, `name@sha256:…`, or both."""

import re

IMAGE = re.compile(
    r"(?P<name>[^\s:@]+(:\d+/[^\s:@]+)?)(:(?P<tag>[\w.-]+))?(@(?P<digest>sha256:[0-9a-f]{64}))?"
)
# A tag by which a registry hands out whatever is newest.
_MOVING = frozenset({None, "latest", "main", "master", "edge", "nightly"})


def is_versioned(reference: str) -> bool:
    """Whether `reference` names one version: a digest, or a tag that is not the newest one."""
    match = IMAGE.fullmatch(reference)
    return bool(match and (match["digest"] or match["tag"] not in _MOVING))


def require_versioned(reference: str) -> str:
    """`reference`; ValueError unless it is one and names one version."""
    if not IMAGE.fullmatch(reference) or not is_versioned(reference):
        raise ValueError(f"must name a version such as `name:1.2`, got {reference!r}")
    return reference


def pinned(reference: str, digest: str | None) -> str:
    """`reference` with `digest`, unless it has one already."""
    return reference if digest is None or "@" in reference else f"{reference}@{digest}"


def tag_of(reference: str) -> str:
    """The tag of `reference`, else its digest's first digits; what a person calls the version."""
    match = IMAGE.fullmatch(reference)
    if match is None:
        return reference
    return match["tag"] or (match["digest"] or "")[:19]
