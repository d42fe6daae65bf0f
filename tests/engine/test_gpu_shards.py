"""A fleet over several provider processes: a slot keeps the one it was born with."""

from collections import Counter

from tests.engine.fleets import TestFleet


def test_a_slot_keeps_its_shard_whatever_the_setting_says_later(fleet: TestFleet) -> None:
    fleet.deploy(min=12, max=14, shards=3)
    fleet.assert_whole(12)
    before = fleet.contracts()
    shards = {machine.slot: machine.shard for machine in fleet.state().machines}
    assert Counter(shards.values()) == {0: 4, 1: 4, 2: 4}
    assert fleet.calls("search", "create") == [1, 12]

    fleet.deploy(min=12, max=14, shards=2)
    assert fleet.contracts() == before
    assert {machine.slot: machine.shard for machine in fleet.state().machines} == shards

    # New slots are spread over the new number; a whole shard may go.
    last = [slot for slot, shard in shards.items() if shard == 2]
    fleet.deploy(min=9, max=14, shards=2)
    fleet.fleet.resize(9, victims=last)
    fleet.fleet.resize(11)
    fleet.assert_whole(11)
    now = {machine.slot: machine.shard for machine in fleet.state().machines}
    kept = {slot: shard for slot, shard in shards.items() if slot in now}
    assert {slot: now[slot] for slot in kept} == kept
    assert {shard for slot, shard in now.items() if slot not in kept} == {0, 1}
    assert fleet.contracts().items() >= {s: before[s] for s in kept}.items()

    fleet.fleet.recover()
    fleet.assert_whole(11)
    assert {machine.slot: machine.shard for machine in fleet.state().machines} == now
