"""The labels and annotations of the user that go along with an agent."""

import re
from dataclasses import dataclass

from ossa.labels import is_key, is_value
from ossa.reader import Found, Reader
from ossa.values import child, shown

# What the platform sets itself; the user's own goes to the annotations.
OURS = ("app", "ossa.version", "role", "tier")
# What steers Pulumi, Kubernetes or us when it stands on a Deployment or its pods.
_STEERING = re.compile(r"(?:pulumi\.com|agent-docker|(?:[^/]+\.)?(?:kubernetes|k8s)\.io)/.*")
_OF_KUBERNETES = ("pod-template-hash", "controller-revision-hash")
# Half of what Kubernetes allows all annotations of an object; the rest is ours.
_MOST_ANNOTATIONS = 128 * 1024


@dataclass(frozen=True, kw_only=True)
class Tags:
    """Labels and annotations that Kubernetes takes as they are."""

    labels: dict[str, str]
    annotations: dict[str, str]


def tags(reader: Reader) -> Tags:
    """The user's labels as far as they are legal, the rest and the annotations as annotations."""
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    for key, found, text in _texts(reader, "labels"):
        if key not in OURS and is_value(text):
            labels[key] = text
            continue
        annotations[key] = text
        reason = "is set by the platform" if key in OURS else f"cannot be {shown(text)}"
        message = f"the label {key} {reason}; it is written as an annotation"
        reader.warning(found.at, "label", message)
    annotations |= {key: text for key, _, text in _texts(reader, "annotations")}
    size = sum(len(f"{key}{text}".encode()) for key, text in annotations.items())
    if size > _MOST_ANNOTATIONS:
        message = f"the annotations have {size} bytes; allowed: at most {_MOST_ANNOTATIONS}"
        reader.error("/metadata/annotations", "size", message)
    return Tags(labels=labels, annotations=annotations)


def _texts(reader: Reader, name: str) -> list[tuple[str, Found, str]]:
    block = reader.find(f"metadata.{name}")
    texts: list[tuple[str, Found, str]] = []
    for key, value in reader.mapping(block).items():
        found = Found(at=child(f"/metadata/{name}", key), value=value)
        text = reader.string(found)
        if text is None:
            continue
        if _STEERING.fullmatch(key) or key in _OF_KUBERNETES:
            message = f"{shown(key)} is not for a manifest to set; it is left out"
            reader.warning(found.at, "label", message)
        elif is_key(key):
            texts.append((key, found, text))
        else:
            message = f"{shown(key)} is no legal key in Kubernetes; it is left out"
            reader.warning(found.at, "label", message)
    return texts
