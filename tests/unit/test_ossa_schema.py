"""Remarks: breaches of OSSA's rules and of the user's own schema, and what strict makes of them."""

import json
import re
from typing import Any

import pytest

from contracts.errors import SettingsError
from ossa.check import check
from tests.unit.ossa_manifests import LEGACY, SEED, agent, report, spec_of, told, wrongs

REMARKS: list[tuple[dict[str, Any], dict[str, Any], tuple[str, str]]] = [
    ({}, {"version": "v1.2.3"}, ("/metadata/version", "pattern")),
    ({"tools": [{"type": "mcp"}, {"name": "x"}]}, {}, ("/spec/tools/1/type", "required")),
    ({"tools": ["x"]}, {}, ("/spec/tools/0", "type")),
    ({"tools": {"a": 1}}, {}, ("/spec/tools", "type")),
    ({"taxonomy": {"domain": "fun"}}, {}, ("/spec/taxonomy/domain", "enum")),
    ({"taxonomy": {"subdomain": "x"}}, {}, ("/spec/taxonomy/domain", "required")),
    ({"autonomy": {"level": "full"}}, {}, ("/spec/autonomy/level", "enum")),
    (
        {"safety": {"guardrails": {"policies": ["x", {}]}}},
        {},
        ("/spec/safety/guardrails/policies/0", "type"),
    ),
    ({"lifecycle": {"phases": ["a", {"name": "b"}]}}, {}, ("/spec/lifecycle/phases/1", "type")),
    (
        {"separation": {"role": "critic", "conflicts_with": ["approver", "critic"]}},
        {},
        ("/spec/separation/role", "conflict"),
    ),
]


@pytest.mark.parametrize(("spec", "metadata", "place"), REMARKS)
def test_remarks_are_warnings_and_strict_makes_errors(
    spec: dict[str, Any], metadata: dict[str, Any], place: tuple[str, str]
) -> None:
    data = agent(spec, version="ossa/v0.3.3", metadata=metadata)
    assert (wrongs(data), told(data)) == ([], [place])
    assert (wrongs(data, strict=True), told(data, strict=True)) == ([place], [])


def test_open_versions_take_any_word() -> None:
    spec = {"taxonomy": {"domain": "fun"}, "autonomy": {"level": "full"}}
    for version in ("ossa/v0.2.9", "ossa/v0.4.7", "ossa/v0.5"):
        assert told(agent(spec, version=version)) == []


def test_known_words_are_no_remark() -> None:
    spec = {"taxonomy": {"domain": "security"}, "autonomy": {"level": "assisted"}}
    assert told(agent(spec, version="ossa/v0.3")) == []


def test_odd_shapes_outside_the_paths_are_left_alone() -> None:
    separation = {"role": "critic", "conflicts_with": ["approver"]}
    spec = {
        "separation": separation,
        "taxonomy": None,
        "safety": {"guardrails": [1]},
        "autonomy": "x",
        "lifecycle": 5,
    }
    assert told(agent(spec, version="ossa/v1", metadata={"version": "1.2.3-rc.1+b.5"})) == []


def schema(**spec: object) -> dict[str, object]:
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "type": "object",
        "properties": {
            "kind": {"const": "Agent"},
            "metadata": {
                "properties": {"name": {"pattern": "^x"}, "labels": {}, "description": {}},
                "patternProperties": {"^x-": {}},
                "additionalProperties": False,
            },
            "spec": {"type": "object", **spec},
        },
    }


def test_a_schema_is_fatal_on_the_paths_that_are_read() -> None:
    data = agent(metadata={"x-a": 1, "author": "me"})
    own = schema()
    assert wrongs(data, schema=own) == [("/metadata/name", "pattern")]
    assert told(data, schema=own) == [("/metadata/author", "additionalProperties")]
    both = [("/metadata/author", "additionalProperties"), ("/metadata/name", "pattern")]
    assert wrongs(data, schema=own, strict=True) == both
    found = report(data, schema=own).errors[0]
    assert found.message == 'by the schema, "one" is not allowed; pattern: "^x"'


def test_what_is_missing_is_told_at_its_own_place() -> None:
    own = schema(required=["deployment", "role", "llm", "tools"])
    data = agent({"llm": {}}, metadata={"name": "xa"})
    # The role is looked for, the tools are not.
    assert wrongs(data, schema=own) == [("/spec/role", "required")]
    assert told(data, schema=own) == [("/spec/tools", "required")]


def test_one_place_is_told_once() -> None:
    data = agent({"tools": [{}]}, metadata={"name": "x", "version": "v1"})
    own = schema(properties={"tools": {"items": {"required": ["type"]}}})
    assert told(data, schema=own) == [
        ("/metadata/version", "pattern"),
        ("/spec/tools/0/type", "required"),
    ]
    # Where the schema is stricter than a remark, it is told as well.
    assert wrongs(data, schema=own) == [("/metadata/version", "additionalProperties")]


def test_values_in_messages_are_cut() -> None:
    data = agent({"note": "x" * 500}, metadata={"name": "xa"})
    (found,) = report(data, schema=schema(properties={"note": {"maxLength": 5}})).warnings
    assert found.keyword == "maxLength"
    assert len(found.message) < 150


def test_parts_and_wholes_of_what_was_read_are_fatal() -> None:
    data = agent(metadata={"name": "xa", "labels": {"a": "b"}})
    inner: dict[str, object] = {
        "properties": {
            "metadata": {"properties": {"labels": {"additionalProperties": {"const": "c"}}}}
        }
    }
    assert wrongs(data, schema=inner) == [("/metadata/labels/a", "const")]
    outer = schema(properties={"deployment": {"maxProperties": 0}})
    assert wrongs(data, schema=outer) == [("/spec/deployment", "maxProperties")]


@pytest.mark.parametrize("kind", [None, "Task", "Nonsense"])
def test_without_a_kind_nothing_is_told_of_the_spec(kind: str | None) -> None:
    own = schema(required=["execution", "steps"], additionalProperties=False)
    data = agent(kind=kind, metadata={"author": "me"})
    places = {found.pointer for found in report(data, schema=own).findings}
    assert places == {"/kind", "/metadata/author", "/metadata/name"}


def test_a_schema_of_another_draft() -> None:
    latest: dict[str, object] = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$defs": {"tools": {"prefixItems": [{"type": "string"}]}},
        "properties": {"spec": {"properties": {"tools": {"$ref": "#/$defs/tools"}}}},
    }
    data = agent({"tools": [{"type": "mcp"}]})
    assert told(data, schema=latest) == [("/spec/tools/0", "type")]
    old: dict[str, object] = {
        "$schema": "http://json-schema.org/draft-03/schema#",
        "properties": {"owner": {"required": True}},
    }
    assert told(data, schema=old) == [("/owner", "required")]
    unknown: dict[str, object] = {"$schema": "https://example.com/own", "required": ["owner"]}
    assert told(data, schema=unknown) == [("/owner", "required")]


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        ({"type": "nonsense"}, "not a valid JSON Schema at /type"),
        ({"properties": {"kind": 5}}, "at /properties/kind"),
        ({"properties": {"kind": {"pattern": "("}}}, "at /properties/kind/pattern"),
        ({"$schema": 7}, "$schema must be a text, got 7"),
        ({"$ref": "#/definitions/none"}, "cannot be used"),
        ({"$ref": "https://example.com/schema.json"}, "cannot be used"),
        ({"$ref": "#"}, "cannot be used: RecursionError"),
    ],
)
def test_a_broken_schema_is_a_clear_error(broken: dict[str, object], message: str) -> None:
    with pytest.raises(SettingsError, match=re.escape(message)):
        check(agent(), file="a.yaml", schema=broken)


def test_legacy_manifests_have_schemas_too() -> None:
    own: dict[str, object] = {"properties": {"agent": {"required": ["name", "runtime"]}}}
    assert told(LEGACY, schema=own) == [("/agent/name", "required")]


def test_reports_are_json() -> None:
    found = report(agent({"tools": [{}]}, metadata={"name": "A"}))
    document = found.as_json()
    assert json.loads(json.dumps(document)) == document
    assert {name: document[name] for name in ("file", "document", "deployable", "name")} == {
        "file": "agent.yaml",
        "document": 1,
        "deployable": False,
        "name": "A",
    }
    assert (document["dialect"], document["api_version"], document["kind"]) == (
        "ossa",
        "ossa/v0.5",
        "Agent",
    )
    assert [found.dotted for found in found.findings] == ["metadata.name", "spec.tools[0].type"]
    assert found.findings[1].line == 1


def test_the_whole_document_has_a_name_of_its_own() -> None:
    (found,) = report("[1]").findings
    assert (found.pointer, found.dotted) == ("", "(document)")


def test_findings_stand_in_the_order_of_their_places() -> None:
    tools = [{"type": "a"}] * 2 + [{}] + [{"type": "a"}] * 7 + [{}]
    places = [found.pointer for found in report(agent({"tools": tools})).findings]
    assert places == ["/spec/tools/2/type", "/spec/tools/10/type"]


def test_each_document_has_its_own_report() -> None:
    reports = check(f"{SEED}---\nkind: Task\n---\n{LEGACY}".encode(), file="many.yaml")
    assert [(found.document, found.deployable) for found in reports] == [
        (1, True),
        (2, False),
        (3, True),
    ]
    assert spec_of(SEED) == reports[0].spec
