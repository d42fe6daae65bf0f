"""Errors, settings, labels, slots, outputs and the program's facts, as both halves read them."""

import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts import outputs
from contracts.errors import AgentDockerError, SettingsError
from contracts.fleet import FleetSettings
from contracts.labels import Label, slot_name
from contracts.outputs import InstanceOutput
from contracts.program import PROGRAM_VERSION, PROJECT, recover_command
from contracts.settings import Strict, parse
from contracts.slots import FleetUnclear, Namer, Slot, SlotSet, plan, reconcile
from providers.agent_router import RouterError
from providers.vastai.errors import VastError

OWNER = "0123456789ab"
NAMER = Namer(owner=OWNER, stack="gpu")


class Sample(Strict):
    count_of: int = 0
    flag_on: bool = False
    note: str | None = None
    many: tuple[int, ...] = ()
    table: dict[str, int] = {}  # noqa: RUF012 - a pydantic field


class TestErrors:
    def test_a_hint_stands_on_a_line_of_its_own(self) -> None:
        assert str(AgentDockerError("what", hint="do this")) == "what\nhint: do this"
        assert str(AgentDockerError("what")) == "what"

    def test_each_kind_has_its_own_exit_code(self) -> None:
        kinds = [AgentDockerError, SettingsError, FleetUnclear, VastError, RouterError]
        codes = [kind.exit_code for kind in kinds]
        assert len(set(codes)) == len(codes)


class TestSettings:
    @pytest.mark.parametrize(
        ("document", "line"),
        [
            ({"countOf": "x"}, "sample.countOf: Input should be a valid integer"),
            ({"countOf": True}, "sample.countOf: must not be true or false, got True"),
            ({"note": False}, "sample.note: must not be true or false, got False"),
            ({"count_of": 1}, "sample.count_of: is not a setting"),
            ({"many": [1, "x"]}, "sample.many.1: "),
            ({"table": {"a": "x"}}, "sample.table.a: "),
            ({"note": {"deep": 1}}, "sample.note: Input should be a valid string"),
            ([], "sample: Input should be a valid dictionary"),
            (None, "sample: Input should be a valid dictionary"),
        ],
    )
    def test_a_wrong_key_is_named_by_its_path(self, document: object, line: str) -> None:
        with pytest.raises(SettingsError) as caught:
            parse(Sample, document, where="Pulumi.x.yaml", key="sample")
        assert line in str(caught.value)
        assert caught.value.__cause__ is None

    def test_a_simple_value_is_shown_and_a_long_one_is_not(self) -> None:
        with pytest.raises(SettingsError) as caught:
            parse(Sample, {"countOf": "x", "many": {"a": 1}}, where="w", key="k")
        text = str(caught.value)
        assert "got 'x'" in text
        assert "{" not in text

    def test_what_is_missing_is_said(self) -> None:
        with pytest.raises(SettingsError, match=r"fleet\.image: is required"):
            parse(FleetSettings, {"tailnet": "t"}, where="w", key="fleet")

    def test_true_and_false_are_for_switches(self) -> None:
        assert parse(Sample, {"flagOn": True}, where="w", key="k").flag_on is True


class TestLabels:
    @pytest.mark.parametrize("part", range(4))
    def test_a_line_break_makes_it_somebody_elses(self, part: int) -> None:
        parts = ["agent-docker", OWNER, "gpu", "gpu-a1"]
        assert Label.parse("/".join(parts)) is not None
        parts[part] += "\n"
        assert Label.parse("/".join(parts)) is None

    def test_the_longest_fits_into_a_create(self) -> None:
        longest = Label(owner="a" * 32, stack="s" * 100, slot="g" * 41)
        assert Label.parse(str(longest)) == longest
        assert len(str(longest)) <= 256

    @given(st.integers(0, 2_000_000), st.integers(0, 2_000_000))
    def test_two_numbers_never_share_a_name(self, first: int, second: int) -> None:
        names = {slot_name(n, owner=OWNER, stack="gpu") for n in (first, second)}
        assert len(names) == len({first, second})


class TestSlots:
    def test_explicit_slots_never_turn_the_count_of_names_back(self) -> None:
        settings = FleetSettings.model_validate({"image": "i:1", "tailnet": "t"})
        last = reconcile(SlotSet(), 4, minimum=0, maximum=9, namer=NAMER)
        asked = SlotSet(slots=last.slots[:1], issued=0)
        planned = plan(settings, last=last, explicit=asked, namer=NAMER)
        assert (planned.slots, planned.issued) == (asked.slots, 4)
        grown = reconcile(planned, 3, minimum=0, maximum=9, namer=NAMER)
        assert not set(grown.names[1:]) & set(last.names)
        assert plan(settings, last=None, explicit=asked, namer=NAMER) == asked

    def test_growing_skips_a_name_that_is_in_use(self) -> None:
        known = SlotSet(slots=(NAMER.slot(0),), issued=0)
        grown = reconcile(known, 2, minimum=0, maximum=9, namer=NAMER)
        assert grown.names == (NAMER.slot(0).name, NAMER.slot(1).name)
        assert grown.issued == 2

    def test_slots_survive_the_way_through_outputs(self) -> None:
        slot = Slot.model_validate(
            {"name": "gpu-a1", "shard": 1.0, "excludeMachines": [7.0], "revision": 2.0}
        )
        both = SlotSet(slots=(slot,), issued=3)
        assert SlotSet.model_validate(both.model_dump(mode="json")) == both
        assert both.model_dump(mode="json")["slots"][0]["excludeMachines"] == [7]

    @pytest.mark.parametrize("name", ["", "a", "-gpu", "GPU-1", "gpu_1", "gpu-1\n", "g" * 42])
    def test_a_name_has_its_form(self, name: str) -> None:
        with pytest.raises(SettingsError, match="name"):
            parse(Slot, {"name": name}, where="w", key="slot")


class TestOutputs:
    def test_the_names_are_part_of_the_contract(self) -> None:
        assert outputs.GPU_OUTPUTS == (
            "slots",
            "instances",
            "costPerHour",
            "owner",
            "program",
            "healthPath",
            "fence",
            "updates",
            "fleet",
        )

    def test_an_instance_reads_what_a_newer_program_wrote(self) -> None:
        record = {
            "slot": "gpu-a1",
            "contract": 501.0,
            "gpu": "RTX 4090",
            "gpuCount": 1.0,
            "costPerHour": 0.4,
            "endpoint": "http://x",
            "status": "running",
            "image": "i:1",
            "newField": 1,
        }
        read = InstanceOutput.model_validate(record)
        assert (read.contract, read.machine, read.host, read.revision) == (501, None, None, 0)
        assert set(read.model_dump(mode="json")) == {*record, "machine", "host", "revision"} - {
            "newField"
        }


class TestProgram:
    def test_the_version_is_that_of_the_package(self) -> None:
        project = tomllib.loads(Path("pyproject.toml").read_text())["project"]
        assert (project["version"], project["name"]) == (PROGRAM_VERSION, PROJECT)

    def test_recovery_is_named_for_the_profile(self) -> None:
        assert recover_command("gpu", offline=True) == "agent-docker recover gpu"
        assert recover_command("gpu", offline=False) == "agent-docker recover gpu --production"
