"""No manifest, however broken, ends a check otherwise than in reports.

`OSSA_FUZZ` sets how many mutations are tried.
"""

import copy
import json
import os
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ossa.check import check
from ossa.documents import documents
from ossa.labels import is_value, label_value, version_label
from ossa.report import Report
from tests.unit.ossa_manifests import ALL, PUBLISHED

EXAMPLES = int(os.environ.get("OSSA_FUZZ", "500"))
# Half of them each: other structures, and other bytes.
TRIED = settings(max_examples=EXAMPLES // 2, deadline=None, suppress_health_check=list(HealthCheck))

Path = tuple[str | int, ...]
ODD: list[object] = [
    None,
    True,
    False,
    0,
    -1,
    1.5,
    10**30,
    65_536,
    "",
    " ",
    "x" * 70,
    "${X}",
    "{{Y}}",
]
ODD += [
    "${X:-1}",
    "lots",
    "500m",
    "a/b",
    "é\u2028",
    [],
    {},
    [1],
    {"a": 1},
    [[]],
    {"": None},
    "/",
    "~",
]
PIECES = [
    b"\t",
    b": ",
    b"- ",
    b"&a ",
    b"*a ",
    b"!!x ",
    b'"',
    b"'",
    b"{",
    b"[",
    b"%",
    b"|",
    b">",
    b"#",
]
PIECES += [
    b"\n",
    b"\n---\n",
    b"<<: ",
    b"\\u",
    b"\xc3\xa9",
    b"\xff",
    b"\0",
    b"? ",
    b"\r",
    b"\xef\xbb\xbf",
]


def published() -> list[bytes]:
    """Every real manifest that is at hand; a checkout alone has none."""
    return [path.read_bytes() for path in sorted(PUBLISHED.glob("manifests/*.y*ml"))]


SOURCES = [text.encode() for text in ALL] + published()
TREES = [documents(source)[0].value for source in SOURCES]


def paths(value: object, at: Path = ()) -> Iterator[Path]:
    if at:
        yield at
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from paths(inner, (*at, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from paths(inner, (*at, index))


def mutated(draw: st.DrawFn, tree: Any) -> None:  # noqa: ANN401 - any JSON
    places = list(paths(tree))
    if not places:
        return
    *way, last = draw(st.sampled_from(places))
    holder = tree
    for key in way:
        holder = holder[key]
    action = draw(st.sampled_from(["drop", "replace", "rename", "insert"]))
    odd = copy.deepcopy(draw(st.sampled_from(ODD)))
    if action == "drop":
        del holder[last]
    elif action == "replace":
        holder[last] = odd
    elif isinstance(holder, list):
        holder.insert(last, odd)
    elif action == "rename":
        holder[draw(st.sampled_from([f"{last}x", "role", "tier", "a/b", ""]))] = holder.pop(last)
    else:
        holder[draw(st.sampled_from(["role", "resources", "replicas", "image", "min"]))] = odd


@st.composite
def restructured(draw: st.DrawFn) -> bytes:
    tree = json.loads(json.dumps(draw(st.sampled_from(TREES))))
    for _ in range(draw(st.integers(1, 4))):
        mutated(draw, tree)
    return json.dumps(tree, indent=draw(st.sampled_from([None, 2]))).encode()


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    data = draw(st.sampled_from(SOURCES))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(data)))
        piece = draw(st.sampled_from(PIECES) | st.binary(max_size=3))
        until = draw(st.sampled_from([at, at + 1, at + 20, len(data)]))
        data = data[:at] + piece + data[until:]
    return data


def judged(data: bytes) -> list[Report]:
    reports = check(data, file="any", values={"Z": "1"})
    assert reports
    for report in reports:
        assert report.deployable == (not report.errors)
        assert json.dumps(report.as_json()).encode()
        assert all(found.line is None or found.line >= 1 for found in report.findings)
        if report.spec is not None:
            spec = report.spec
            labels = [label_value(spec.role.value), label_value(spec.tier.value)]
            assert all(is_value(text) for text in [*labels, *spec.labels.values()])
            assert is_value(version_label(spec.api_version.value))
            assert 0 <= spec.min_replicas.value <= spec.max_replicas.value
    return reports


@TRIED
@given(restructured())
def test_other_structures_end_in_reports(data: bytes) -> None:
    judged(data)


@TRIED
@given(damaged())
def test_other_bytes_end_in_reports(data: bytes) -> None:
    judged(data)


@settings(deadline=None)
@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_any_bytes_end_in_reports(data: bytes) -> None:
    judged(data)


@settings(deadline=None)
@given(st.text(min_size=1), st.text(min_size=1), st.text())
def test_any_role_tier_and_version_are_mapped_or_refused(role: str, tier: str, ver: str) -> None:
    for version in ("ossa/v0.5", ver):
        spec = {"type": role, "access": {"tier": tier}}
        document = {"apiVersion": version, "kind": "Agent", "metadata": {"name": "a"}, "spec": spec}
        judged(json.dumps(document).encode())


DEPLOYABLE = ("01", "04", "07", "08", "09", "13", "15", "22", "25", "27", "29")
REFUSED = {
    "11": ("/kind", "kind"),
    "16": ("/kind", "kind"),
    "20": ("/kind", "required"),
    "23": ("/apiVersion", "apiVersion"),
}


@pytest.mark.skipif(not PUBLISHED.is_dir(), reason="the published manifests are not at hand")
@pytest.mark.parametrize("number", [*DEPLOYABLE, *REFUSED])
def test_published_manifests(number: str) -> None:
    (path,) = PUBLISHED.glob(f"manifests/{number}-*")
    (report,) = judged(path.read_bytes())
    found = [(error.pointer, error.keyword) for error in report.errors]
    assert found == ([REFUSED[number]] if number in REFUSED else [])


@pytest.mark.skipif(not PUBLISHED.is_dir(), reason="the published schemas are not at hand")
@pytest.mark.parametrize(
    ("number", "schema", "errors", "warnings"),
    [
        ("01", "0.1.9-legacy", 0, 0),
        ("04", "0.1.9-legacy", 0, 3),
        ("07", "0.2.9", 0, 0),
        ("08", "0.2.9", 0, 5),
        # The three policies that the schema refuses are told already.
        ("15", "0.3.3", 0, 0),
        ("20", "0.3.6", 1, 0),
        ("27", "0.4-main", 0, 7),
        ("29", "0.4-main", 0, 1),
        ("29", "0.5", 0, 0),
    ],
)
def test_published_schemas(number: str, schema: str, errors: int, warnings: int) -> None:
    (path,) = PUBLISHED.glob(f"manifests/{number}-*")
    rules = json.loads((PUBLISHED / "schemas" / f"ossa-{schema}.schema.json").read_bytes())
    (report,) = check(path.read_bytes(), file=path.name, schema=rules)
    by_schema = [one for one in report.findings if one.message.startswith("by the schema")]
    assert len(report.errors) == errors
    assert len(by_schema) - sum(one.severity == "error" for one in by_schema) == warnings
