"""Labels that Kubernetes takes, whatever the text."""

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ossa.labels import is_key, is_value, label_value, version_label, version_of

KUBERNETES = re.compile(r"(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?")
LEGAL_VERSION = re.compile(r"[A-Za-z0-9.-]+/[A-Za-z0-9.-]+")


def legal(label: str) -> bool:
    return len(label) <= 63 and KUBERNETES.fullmatch(label) is not None


@given(st.text())
@example("")
@example("\n")
@example("You are a helpful assistant.")
@example("-")
@example("a" * 64)
def test_any_text_becomes_a_legal_label(text: str) -> None:
    for label in (label_value(text), version_label(text)):
        assert legal(label)
        assert label_value(label) == label


@given(st.sets(st.text(), min_size=2, max_size=8))
def test_distinct_texts_have_distinct_labels(texts: set[str]) -> None:
    digested = {text for text in texts if not is_value(text)}
    assert len({label_value(text) for text in digested}) == len(digested)
    assert len({version_label(text) for text in texts}) == len(texts)


@given(st.from_regex(LEGAL_VERSION, fullmatch=True))
@example("ossa/v0.3.0-alpha.1")
def test_a_version_reads_back(version: str) -> None:
    label = version.replace("/", "_")
    if legal(label):
        assert version_label(version) == label
        assert version_of(label) == version
    else:
        assert version_label(version) != label


@pytest.mark.parametrize(
    ("version", "label"),
    [
        ("ossa/v0.3.3", "ossa_v0.3.3"),
        ("ossa/v1", "ossa_v1"),
        ("@bluefly/ossa/v0.1.9", "bluefly_ossa_v0.1.9-50ba0cd6f9"),
        ("a_b/v1", "a_b_v1-2d46cb46a9"),
    ],
)
def test_version_labels(version: str, label: str) -> None:
    found = version_label(version)
    assert found[:-10] == label[:-10] if "-" in label else found == label
    assert version_of(found) == (version if found == version.replace("/", "_") else None)


def test_a_label_without_a_version_is_none() -> None:
    assert version_of("plain") is None
    assert version_of("-a_b") is None


@pytest.mark.parametrize(
    "key", ["a", "app.kubernetes.io/name", "A_b.c", "x" * 63, f"{'a.' * 126}b/c"]
)
def test_legal_keys(key: str) -> None:
    assert is_key(key)


@pytest.mark.parametrize(
    "key", ["", "/", "a/", "/a", "a/b/c", "-a", "é", "x" * 64, "Up.io/a", f"{'a.' * 127}b/c"]
)
def test_illegal_keys(key: str) -> None:
    assert not is_key(key)
