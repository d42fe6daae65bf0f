"""The life of a fleet: what each change does, and above all what it leaves alone."""

import pytest

from contracts.slots import SlotSet
from operations.errors import StackNotFound
from tests.engine.fleets import TestFleet


def test_from_the_first_update_to_nothing(fleet: TestFleet) -> None:
    operations = fleet.fleet

    # The first update has the fewest slots; a second one changes nothing.
    fleet.deploy(min=2)
    fleet.assert_whole(2)
    before = fleet.contracts()
    assert not operations.resize(2).changed
    assert fleet.contracts() == before

    operations.resize(3)
    fleet.assert_whole(3)
    grown = fleet.contracts()
    assert grown.items() >= before.items()

    # The victim goes, nobody else.
    victim = fleet.names()[1]
    operations.resize(2, victims=[victim])
    fleet.assert_whole(2)
    assert fleet.contracts() == {k: v for k, v in grown.items() if k != victim}

    # A name is never used again.
    operations.resize(3)
    fleet.assert_whole(3)
    assert victim not in fleet.names()
    kept = fleet.contracts()

    # A person's plain deploy keeps what the autoscaler wanted.
    fleet.settings["fleet"]["min"] = 1
    fleet.deploy()
    fleet.assert_whole(3)
    assert fleet.contracts() == kept

    # What selects new rentals touches none of the old ones, and neither does the template.
    fleet.deploy(
        selection={"maxPricePerHour": 0.9, "minReliability": 0.5, "excludeMachines": [1, 2]},
        image="ollama/ollama:0.13.0",
        env={"OLLAMA_DEBUG": "1"},
        models=["llama3.2"],
    )
    fleet.assert_whole(3)
    assert fleet.contracts() == kept
    assert {record.image for record in fleet.records()} == {"ollama/ollama:0.12.6"}
    assert fleet.calls("update_template", "destroy") == [0, 1]

    # The template is rolled one slot at a time, on the same machine.
    rolled = fleet.names()[0]
    operations.roll(rolled)
    assert fleet.contracts() == kept
    images = {record.slot: record.image for record in fleet.records()}
    assert images.pop(rolled) == "ollama/ollama:0.13.0"
    assert set(images.values()) == {"ollama/ollama:0.12.6"}

    # Another machine is asked for by name, and is another one.
    old = next(record for record in fleet.records() if record.slot == rolled)
    operations.replace(rolled)
    fleet.assert_whole(3)
    new = next(record for record in fleet.records() if record.slot == rolled)
    assert new.machine != old.machine
    assert {k: v for k, v in fleet.contracts().items() if k != rolled} == {
        k: v for k, v in kept.items() if k != rolled
    }

    # A number overrides, then `auto` keeps it.
    fleet.deploy(desired=1)
    fleet.assert_whole(1)
    fleet.deploy()
    fleet.assert_whole(1)

    operations.destroy(remove=True)
    assert fleet.live() == {}
    with pytest.raises(StackNotFound):
        fleet.state()


def test_what_the_machines_suffer_is_seen_and_mended(fleet: TestFleet) -> None:
    operations = fleet.fleet
    fleet.deploy(min=3)
    exited, vanished, healthy = fleet.names()
    before = fleet.contracts()
    old = {record.slot: record.machine for record in fleet.records()}
    fleet.befall(exited, "exit")
    fleet.befall(vanished, "vanish")

    # A plain resize does not read the cloud: nothing changes.
    assert not operations.resize(3).changed
    seen = operations.stack.refresh()
    assert {m.slot: m.status for m in seen.machines} == {exited: "exited", healthy: "running"}

    # The dead one is replaced on another machine, the vanished one comes back in its slot.
    operations.resize(3)
    fleet.assert_whole(3)
    after = fleet.contracts()
    assert after[healthy] == before[healthy]
    assert after[exited] != before[exited]
    assert after[vanished] != before[vanished]
    machines = {record.slot: record.machine for record in fleet.records()}
    assert machines[exited] != old[exited]

    fleet.befall(healthy, "offline")
    operations.recover()
    fleet.assert_whole(3)
    assert fleet.contracts()[healthy] != before[healthy]


def test_bids_change_in_place_and_the_outbid_are_replaced(fleet: TestFleet) -> None:
    operations = fleet.fleet
    fleet.deploy(min=2, bidPerHour=0.3)
    fleet.assert_whole(2)
    before = fleet.contracts()

    fleet.deploy(min=2, bidPerHour=0.35)
    fleet.assert_whole(2)
    assert fleet.contracts() == before
    assert {rental["gpu_rate_micros"] for rental in fleet.rentals()} == {350_000}

    outbid, other = fleet.names()
    fleet.befall(outbid, "outbid")
    assert {m.status for m in operations.stack.refresh().machines} == {"outbid", "running"}
    operations.resize(2)
    fleet.assert_whole(2)
    assert fleet.contracts()[outbid] != before[outbid]
    assert fleet.contracts()[other] == before[other]

    # On-demand is another kind of rental: an autoscaler must not change it on its own.
    operations.destroy()
    assert fleet.live() == {}
    assert fleet.state().machines == ()
    assert operations.stack.snapshot().settings["agent-docker:fleet"]["bidPerHour"] == 0.35
    assert operations.resize(1).state.slots != SlotSet()
    fleet.assert_whole(2)
