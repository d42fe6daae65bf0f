"""From bytes to values: what YAML and JSON mean here, and what is refused before any check."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ossa.documents import LARGEST, Document, documents
from ossa.nodes import DEEPEST
from ossa.scalars import filled, plain, template_in


def one(text: str | bytes, values: dict[str, str] | None = None) -> Document:
    raw = text.encode() if isinstance(text, str) else text
    (only,) = documents(raw, values)
    return only


def problem(text: str | bytes) -> tuple[str, int | None, str]:
    (found, *_) = one(text).problems
    return found.pointer, found.line, found.keyword


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("~", None),
        ("", None),
        ("true", True),
        ("FALSE", False),
        ("yes", "yes"),
        ("no", "no"),
        ("012", 12),
        ("0x1f", 31),
        ("0o17", 15),
        ("-3", -3),
        ("1.50", 1.5),
        (".5", 0.5),
        ("1e3", 1000.0),
        ("1e999", "1e999"),
        (".inf", ".inf"),
        (".nan", ".nan"),
        ("9" * 41, "9" * 41),
        ("2025-10-31", "2025-10-31"),
        ("1_000", "1_000"),
        ("12:30:45", "12:30:45"),
    ],
)
def test_scalars_are_yaml_1_2(text: str, value: object) -> None:
    found = plain(text)
    assert found == value
    assert type(found) is type(value)


def test_quotes_and_tags_decide_the_type() -> None:
    text = 'a: "5"\nb: !!str 5\nc: ! 6\nd: !!int 7\ne: !!map {}\nf: |\n  8\n'
    assert one(text).value == {"a": "5", "b": "5", "c": "6", "d": 7, "e": {}, "f": "8\n"}


def test_json_with_tabs_pairs_and_slashes_is_read() -> None:
    text = '{\n\t"a":\t"\\ud83d\\ude00 \\/",\n\t"b":[1,2.5,null]}'
    assert one(text).value == {"a": "😀 /", "b": [1, 2.5, None]}


@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers(-(10**9), 10**9)
        | st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20),
        lambda inner: (
            st.lists(inner, max_size=4)
            | st.dictionaries(st.text("abc", min_size=1, max_size=5), inner, max_size=4)
        ),
        max_leaves=10,
    ).filter(lambda value: value is not None)
)
def test_what_json_writes_is_read_back(value: object) -> None:
    assert one(json.dumps(value)).value == value


def test_every_value_has_its_line() -> None:
    found = one("a: 1\nb:\n  c/d:\n    - x\n    -\n      e: 2\n")
    places = {"": 1, "/a": 1, "/b": 2, "/b/c~1d": 3, "/b/c~1d/0": 4, "/b/c~1d/1/e": 6}
    assert {pointer: found.line(pointer) for pointer in places} == places
    # What is missing is told at what is around it.
    assert found.line("/b/none/at/all") == 2


def test_an_alias_stands_for_what_it_names() -> None:
    found = one("a: &x\n  b: 1\nc: *x\nd: [*x]\n")
    assert found.value == {"a": {"b": 1}, "c": {"b": 1}, "d": [{"b": 1}]}
    assert (found.line("/c"), found.line("/c/b")) == (3, 2)


def test_merge_keys_fill_in_what_is_not_there() -> None:
    text = "a: &a {x: 1, y: 2}\nb: &b {y: 3, z: 4}\nc:\n  <<: [*a, *b]\n  x: 0\nd: {<<: *b}\n"
    value = one(text).value
    assert isinstance(value, dict)
    assert value["c"] == {"x": 0, "y": 2, "z": 4}
    assert value["d"] == {"y": 3, "z": 4}


def test_a_quoted_merge_key_is_a_key() -> None:
    assert one('"<<": 1').value == {"<<": 1}


def test_documents_keep_their_numbers() -> None:
    found = documents(b"---\n---\na: 1\n---\n# nothing\n---\nb: 2\n---\nc: [\n")
    assert [document.number for document in found] == [2, 4, 5]
    assert [document.value for document in found] == [{"a": 1}, {"b": 2}, None]
    assert [bool(document.problems) for document in found] == [False, False, True]


@pytest.mark.parametrize(
    ("text", "where"),
    [
        (b"", ("", 1, "empty")),
        (b" \n\t\n", ("", 1, "empty")),
        (b"# only a comment\n", ("", 1, "empty")),
        (b"---\n", ("", 1, "empty")),
        (b"a: \0", ("", 1, "encoding")),
        (b"\x89PNG\r\n", ("", 1, "encoding")),
        (b"#" * (LARGEST + 1), ("", 1, "size")),
        (b"!" * 60_000, ("", 1, "size")),
        (b"a: 1\nb: [\n", ("", 3, "syntax")),
        (b'a: "\\UFFFFFFFF"', ("", 1, "syntax")),
        (b"a: \x07", ("", 1, "syntax")),
        (b'a: 1\nb: "\\ud83d"', ("/b", 2, "encoding")),
        (b'a: 1\nb: "\\0"', ("/b", 2, "encoding")),
        (b"a: 1\nb:\n  c: 2\n  c: 3\n", ("/b/c", 4, "duplicate")),
        (b'{"a": 1, "a": 1}', ("/a", 1, "duplicate")),
        (b"a: {{NAME}}", ("/a", 1, "syntax")),
        (b"a:\n  b: !Ref x", ("/a/b", 2, "tag")),
        (b"a: !!timestamp 2025-10-31", ("/a", 1, "tag")),
        (b"a: *nobody", ("/a", 1, "alias")),
        (b"a: &a [*a]", ("/a/0", 1, "alias")),
        (b"<<: 1", ("/<<", 1, "type")),
        (b"<<: [{}, 1]", ("/<<", 1, "type")),
        (b"[" * (DEEPEST + 2), ("", 1, "depth")),
        (b"a: &a " + b"[" * 60 + b"]" * 60 + b"\nb: " + b"[" * 60 + b"*a", ("", 2, "depth")),
        (b"- \n" * 30_000, ("", 20_000, "size")),
        (b"a: &a '" + b"x" * 500_000 + b"'\nb: [" + b"*a, " * 10 + b"]", ("", 2, "size")),
    ],
)
def test_what_cannot_be_read_says_where_and_why(text: bytes, where: tuple[str, int, str]) -> None:
    assert problem(text) == where


def test_billions_of_aliases_are_not_expanded() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 20)]
    assert problem("\n".join(lines))[2] == "size"


def test_syntax_errors_name_line_and_column() -> None:
    (found,) = one("a: 1\n b: 2\n").problems
    assert found.message.endswith("(line 2, column 3)")


@pytest.mark.parametrize(
    ("text", "template"),
    [
        ("plain", None),
        ("$HOME {x}", None),
        ("a ${B} c", "${B}"),
        ("${B:-c d}", "${B:-c d}"),
        ("{{ x.y | z }}", "{{ x.y | z }}"),
        ("${{ inputs.x }}", "${{ inputs.x }"),
    ],
)
def test_templates_are_seen(text: str, template: str | None) -> None:
    assert template_in(text) == template


def test_values_fill_in_templates() -> None:
    values = {"A": "1", "b": "{x}"}
    assert filled("${A}-${A:-2}-${C:-3}-${C-4}-${D}-{{ b }}-{{.b}}-{{e}}", values) == (
        "1-1-3-4-${D}-{x}-{x}-{{e}}"
    )


def test_a_filled_scalar_has_the_type_it_would_have_had() -> None:
    text = "a: ${N}\nb: '${N}'\nc: ${M:-true}\n"
    assert one(text, {"N": "3"}).value == {"a": 3, "b": "3", "c": True}
    assert one("a: ${N:-1}\n", {}).value == {"a": "${N:-1}"}
    assert one("a: ${X}\n", {"X": "{b: 1}\nc: 2"}).value == {"a": "{b: 1}\nc: 2"}
