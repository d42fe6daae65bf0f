"""The document `agent-docker:fleet`: its bounds, its defaults and what a person reads."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from ruamel.yaml import YAML

from contracts.errors import SettingsError
from contracts.fleet import FleetSettings, Selection, hostname, render_endpoint
from contracts.settings import parse

BASE = {"image": "ollama/ollama:0.12.6", "tailnet": "t.ts.net"}


def fleet(**changes: object) -> FleetSettings:
    return FleetSettings.model_validate(BASE | changes)


def errors(document: object) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        parse(FleetSettings, document, where="Pulumi.gpu.yaml", key="fleet")
    first, *lines = str(caught.value).splitlines()
    assert first == "Pulumi.gpu.yaml is not valid:"
    return lines


def test_the_defaults_are_the_plan() -> None:
    plain = fleet()
    assert (plain.desired, plain.min, plain.max) == ("auto", 1, 5)
    assert (plain.gpu, plain.gpu_count, plain.disk_gb) == ("RTX 4090", 1, 50)
    assert plain.models == ("llama3.2", "codellama")
    assert (plain.bid_per_hour, plain.port, plain.health_path) == (None, 11434, "/api/version")


def test_keys_are_camel_case_both_ways() -> None:
    read = fleet(gpuCount=2, selection={"maxPricePerHour": 1.5})
    assert (read.gpu_count, read.selection.max_price_per_hour) == (2, 1.5)
    assert FleetSettings.model_validate(read.model_dump(mode="json")) == read
    assert errors(BASE | {"gpu_count": 2}) == ["  fleet.gpu_count: is not a setting"]


@pytest.mark.parametrize(
    ("key", "lowest", "highest"),
    [("max", 1, 500), ("gpuCount", 1, 16), ("diskGb", 8, 4096), ("port", 1, 65535)],
)
def test_counts_have_bounds(key: str, lowest: int, highest: int) -> None:
    limits = {"max": 500} if key != "max" else {}
    for sound in (lowest, highest):
        fleet(min=0, **limits | {key: sound})
    for wrong in (lowest - 1, highest + 1, "many", None, True, [1]):
        assert errors(BASE | {"min": 0} | limits | {key: wrong})[0].startswith(f"  fleet.{key}: ")


@pytest.mark.parametrize(
    ("key", "sound", "wrong"),
    [
        ("maxPricePerHour", [0.001, 128], [0, -1, 128.1, float("inf"), float("nan"), True]),
        ("minReliability", [0, 1], [-0.1, 1.1, float("nan"), False]),
        ("verified", [True, False], ["perhaps"]),
        ("datacenter", [True, False], [2]),
        ("regions", [[], ["US", "SE"]], [["us"], ["USA"], "US", [""]]),
        *[
            (key, [0, 10_000.5], [-1, "much", None, float("inf")])
            for key in (
                "minInetDownMbps",
                "minInetUpMbps",
                "minGpuRamGb",
                "minCpuRamGb",
                "minCpuCores",
                "minCuda",
                "minHoursLeft",
            )
        ],
        ("minDirectPorts", [0, 100], [-1, 1.5]),
        ("excludeMachines", [[], [1, 2]], [["x"], 7]),
        ("excludeHosts", [[], [1, 2]], [["x"], 7]),
    ],
)
def test_each_selection_rule_has_bounds(key: str, sound: list[Any], wrong: list[Any]) -> None:
    for value in sound:
        fleet(selection={key: value})
    for value in wrong:
        (line, *_) = errors(BASE | {"selection": {key: value}})
        assert line.startswith(f"  fleet.selection.{key}"), value


def test_every_selection_rule_is_tested() -> None:
    assert len(Selection.model_fields) == 15


class TestDesired:
    @pytest.mark.parametrize("value", ["auto", 0, 3, 5])
    def test_auto_or_a_count_within_the_range(self, value: object) -> None:
        assert fleet(min=0, desired=value).desired == value

    @pytest.mark.parametrize("value", [True, 2.5, "3", "AUTO", None, [1]])
    def test_nothing_else(self, value: object) -> None:
        (line,) = errors(BASE | {"desired": value})
        assert line.startswith("  fleet.desired: must")

    @pytest.mark.parametrize("value", [1, 6])
    def test_a_count_outside_the_range_is_refused(self, value: int) -> None:
        assert errors(BASE | {"min": 2, "desired": value}) == [
            f"  fleet: desired must be `auto` or within min..max (2..5), got {value}"
        ]

    def test_a_negative_count_is_told_at_its_key(self) -> None:
        assert all(line.startswith("  fleet.desired: ") for line in errors(BASE | {"desired": -1}))

    def test_min_above_max_is_refused(self) -> None:
        assert errors(BASE | {"min": 6}) == [
            "  fleet: min must not be above max, got min 6 and max 5"
        ]


class TestImage:
    @pytest.mark.parametrize(
        "image",
        [
            "ollama/ollama:0.12.6",
            "registry.test:5000/a/b:1.0-rc_1",
            "ollama/ollama@sha256:" + "a" * 64,
            "ollama/ollama:latest@sha256:" + "a" * 64,
        ],
    )
    def test_a_version_is_named(self, image: str) -> None:
        assert fleet(image=image).image == image

    @pytest.mark.parametrize(
        "image",
        [
            "ollama/ollama",
            "ollama/ollama:latest",
            "registry.test:5000/ollama",
            "a b:1",
            "",
            "ollama/ollama:0.12.6\n",
            "ollama/ollama@sha256:abc",
        ],
    )
    def test_without_one_it_is_refused(self, image: str) -> None:
        assert errors(BASE | {"image": image}) == [
            f"  fleet.image: must name a version such as `name:1.2`, got {image!r}"
        ]


class TestEnv:
    @pytest.mark.parametrize(
        "name",
        [
            "TAILSCALE_AUTH_KEY",
            "VASTAI_API_KEY",
            "VAST_API_KEY",
            "CONTAINER_ID",
            "VAST_CONTAINERLABEL",
            "AGENT_DOCKER_SLOT",
            "AGENT_DOCKER_MODELS",
        ],
    )
    def test_what_the_renting_fills_in_is_refused_unseen(self, name: str) -> None:
        (line,) = errors(BASE | {"env": {name: "canary"}})
        assert line == f"  fleet.env: {name} is filled in when renting, never a setting"

    @pytest.mark.parametrize(
        "name", ["-p 80:80", " -p 80:80", "-v V.1:/mnt", "", "A B", "A=B", "1"]
    )
    def test_what_could_be_a_docker_flag_is_refused(self, name: str) -> None:
        (line,) = errors(BASE | {"env": {name: "1"}})
        assert line.startswith(f"  fleet.env: {name!r} is no variable's name")

    def test_the_rest_is_taken(self) -> None:
        assert fleet(env={"OLLAMA_HOST": "0.0.0.0:11434", "_x1": ""}).env["_x1"] == ""


class TestEndpoint:
    @pytest.mark.parametrize(
        "template",
        ["http://{nothing}", "http://{}", "{0}", "{slot", "{slot.upper.x}", "{id[0]}", "{slot!z}"],
    )
    def test_what_is_no_template_of_ours_is_refused(self, template: str) -> None:
        assert errors(BASE | {"endpoint": template}) == [
            f"  fleet.endpoint: must be a template of the known fields, got {template!r}"
        ]

    def test_a_tailnet_is_needed_where_it_is_named(self) -> None:
        assert errors({"image": BASE["image"]}) == [
            "  fleet: tailnet is required while endpoint names {tailnet}"
        ]
        FleetSettings.model_validate({"image": BASE["image"], "endpoint": "http://{octets}:{port}"})

    def test_its_fields(self) -> None:
        template = "{hostname} {tailnet} {port} {slot} {id} {octets} {local_port}"
        text = render_endpoint(template, slot="gpu-a1", contract=66_051, tailnet="t", port=80)
        assert text == "gpu-a1-66051 t 80 gpu-a1 66051 2.3 26051"
        assert hostname("gpu-a1", 7) == "gpu-a1-7"

    @given(st.integers(1, 10**9))
    def test_a_contract_always_has_a_local_address(self, contract: int) -> None:
        text = render_endpoint(
            "{octets} {local_port}", slot="s", contract=contract, tailnet=None, port=1
        )
        octets, port = text.split()
        assert all(0 <= int(part) <= 255 for part in octets.split("."))
        assert 20_000 <= int(port) < 32_000


class TestMoney:
    def test_a_bid_above_the_cap_is_refused(self) -> None:
        assert errors(BASE | {"bidPerHour": 0.7}) == [
            "  fleet: bidPerHour 0.7 is above selection.maxPricePerHour 0.6"
        ]
        assert fleet(bidPerHour=0.6).bid_per_hour == 0.6

    @pytest.mark.parametrize("bid", [0, -0.1, 129, True])
    def test_a_bid_has_bounds(self, bid: object) -> None:
        assert errors(BASE | {"bidPerHour": bid})[0].startswith("  fleet.bidPerHour: ")


@pytest.mark.parametrize(
    ("limit", "shards", "count"),
    [(1, None, 1), (25, None, 1), (26, None, 2), (100, None, 4), (500, None, 8), (5, 16, 16)],
)
def test_shards_grow_with_the_fleet(limit: int, shards: int | None, count: int) -> None:
    assert fleet(max=limit, shards=shards).shard_count == count


@pytest.mark.parametrize("shards", [0, 17])
def test_shards_have_bounds(shards: int) -> None:
    assert errors(BASE | {"shards": shards})[0].startswith("  fleet.shards: ")


@pytest.mark.parametrize(
    ("key", "wrong"),
    [("tailnet", "T.net"), ("router", "ftp://x"), ("healthPath", "api"), ("gpu", "x")],
)
def test_texts_have_their_form(key: str, wrong: str) -> None:
    assert errors(BASE | {key: wrong})[0].startswith(f"  fleet.{key}: ")


def test_all_errors_are_told_at_once() -> None:
    lines = errors({"max": 0, "selection": {"regions": ["xx"], "cheap": True}, "disk": 9})
    assert [line.split(":")[0].strip() for line in lines] == [
        "fleet.max",
        "fleet.image",
        "fleet.selection.regions.0",
        "fleet.selection.cheap",
        "fleet.disk",
    ]


def test_settings_cannot_be_changed_after_reading() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        fleet().max = 7  # type: ignore[misc]


def test_the_production_settings_are_sound() -> None:
    document = YAML(typ="safe").load(Path("Pulumi.gpu.yaml").read_text())
    parse(FleetSettings, document["config"]["agent-docker:fleet"], where="x", key="fleet")
