"""What survives of an intent, and when it is heard."""

import os
from pathlib import Path

import pytest

from contracts.slots import Slot, SlotSet
from operations import intents
from operations.intents import Intent
from operations.state import StackState


def slots(*names: str) -> SlotSet:
    return SlotSet(slots=tuple(Slot(name=name) for name in names), issued=len(names))


def test_an_intent_comes_back_as_it_was(tmp_path: Path) -> None:
    intent = Intent(slots=slots("gpu-a"), victims=("gpu-b",), base=slots("gpu-a", "gpu-b"))
    intents.write(tmp_path / "new", "gpu", intent)
    assert intents.read(tmp_path / "new", "gpu") == intent
    assert intents.read(tmp_path / "new", "other") is None


def test_it_is_synced_before_it_takes_its_place_and_its_place_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []
    sync, replace = os.fsync, Path.replace
    monkeypatch.setattr(os, "fsync", lambda fd: (order.append(f"fsync {_named(fd)}"), sync(fd))[1])
    monkeypatch.setattr(
        Path, "replace", lambda path, to: (order.append("replace"), replace(path, to))[1]
    )
    intents.write(tmp_path, "gpu", Intent(slots=slots("gpu-a")))
    assert order == ["fsync intent-gpu.new", "replace", f"fsync {tmp_path.name}"]


def _named(descriptor: int) -> str:
    return Path(f"/proc/self/fd/{descriptor}").readlink().name


@pytest.mark.parametrize("torn", ["", "{", '{"slots": {"slo', "[]", '{"slots": 1}', "\0\0"])
def test_a_torn_file_is_no_intent(tmp_path: Path, torn: str) -> None:
    (tmp_path / "intent-gpu.json").write_text(torn)
    assert intents.read(tmp_path, "gpu") is None


def test_a_write_that_was_cut_leaves_the_earlier_intent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    intents.write(tmp_path, "gpu", Intent(slots=slots("gpu-a")))

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        intents.write(tmp_path, "gpu", Intent(slots=slots("gpu-b")))
    found = intents.read(tmp_path, "gpu")
    assert found is not None
    assert found.slots.names == ("gpu-a",)


def test_an_older_services_intent_with_other_fields_is_read(tmp_path: Path) -> None:
    (tmp_path / "intent-gpu.json").write_text('{"slots": {"slots": []}, "later": 1}')
    assert intents.read(tmp_path, "gpu") == Intent(slots=SlotSet())


def test_clearing_is_done_twice_without_harm(tmp_path: Path) -> None:
    intents.write(tmp_path, "gpu", Intent(slots=slots("gpu-a")))
    for _ in range(2):
        intents.clear(tmp_path, "gpu")
        assert intents.read(tmp_path, "gpu") is None


def after(updates: int, recorded: SlotSet | None) -> StackState:
    found: dict[str, object] = {"updates": updates}
    if recorded is not None:
        found["slots"] = recorded.model_dump(mode="json")
    return StackState(outputs=found)


def test_it_stands_while_the_stack_is_as_before_it_or_as_it_made_it() -> None:
    intent = Intent(slots=slots("gpu-a", "gpu-b"), base=slots("gpu-a"), updates=7)
    assert intent.stands(after(7, slots("gpu-a")))
    assert intent.stands(after(8, slots("gpu-a", "gpu-b")))
    assert not intent.stands(after(7, slots("gpu-b")))
    assert not intent.stands(after(0, None))
    assert Intent(slots=slots("gpu-a")).stands(after(0, None))


@pytest.mark.parametrize("others", [1, 2, 9])
def test_updates_of_others_overtake_it_though_the_slots_are_the_same(others: int) -> None:
    intent = Intent(slots=slots("gpu-a", "gpu-b"), base=slots("gpu-a"), updates=7)
    assert not intent.stands(after(7 + others, slots("gpu-a")))
    assert not intent.stands(after(8 + others, slots("gpu-a", "gpu-b")))


def test_the_count_of_names_given_out_does_not_matter_to_that() -> None:
    intent = Intent(slots=slots("gpu-a", "gpu-b"), base=slots("gpu-a"))
    assert intent.stands(after(0, slots("gpu-a").model_copy(update={"issued": 9})))


def test_a_destroy_stands_when_its_stack_records_nothing_any_more() -> None:
    intent = Intent(slots=SlotSet(), base=slots("gpu-a"), destroy=True)
    assert intent.stands(after(0, None))
    assert intent.stands(after(0, slots("gpu-a")))
    assert not intent.stands(after(0, slots("gpu-new")))
