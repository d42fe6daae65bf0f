"""Updates that fail: one clear message, nothing forgotten, and the next one finishes."""

import threading
from pathlib import Path

import pytest

from localcloud.vastai.server import running_cloud
from operations.errors import Busy, CutOff, Failed, OperationError, Refused, WrongPassphrase
from providers.vastai.offers import Want
from tests.engine.conftest import NewFleet
from tests.engine.fleets import PASSPHRASE_CANARY, VAST_CANARY, TestFleet, make_fleet

IMAGE = "ollama/ollama:0.12.6"


def only_machine(fleet: TestFleet) -> dict[str, object]:
    """A selection that one single-GPU machine fits, and no other."""
    with fleet.fleet.cloud() as client:
        offers = client.search(Want(gpu="RTX 4090").query())
    machines = [offer.machine_id for offer in offers]
    single = next(
        offer.machine_id
        for offer in offers
        if machines.count(offer.machine_id) == 1
        and offer.dph_total < 0.5
        and offer.verification == "verified"
        and offer.reliability2 > 0.96
        and offer.inet_down > 300
    )
    return {"excludeMachines": sorted({*machines} - {single}), "maxPricePerHour": 0.9}


def test_what_cannot_be_rented_is_told_and_rented_by_the_next_update(fleet: TestFleet) -> None:
    # The very first update fails altogether: nothing lives.
    with pytest.raises(Failed, match="above the price cap") as caught:
        fleet.deploy(selection={"maxPricePerHour": 0.001})
    assert one_message(caught.value)
    assert "fleet.selection" in str(caught.value.hint)
    assert fleet.live() == {}

    # One machine is found for two slots: what was rented stays, and the next update finishes.
    with pytest.raises(Failed, match="none of") as caught:
        fleet.deploy(min=2, selection=only_machine(fleet))
    assert one_message(caught.value)
    first = fleet.contracts()
    assert len(first) == 1
    fleet.deploy(min=2)
    fleet.assert_whole(2)
    assert fleet.contracts().items() >= first.items()
    two = fleet.contracts()

    # Growing finds some machines and not others; those slots were never promised to anybody.
    fleet.deploy(selection=only_machine(fleet))
    with pytest.raises(Failed, match="none of") as caught:
        fleet.fleet.resize(4)
    assert one_message(caught.value)
    rented = fleet.contracts()
    assert len(rented) == 3
    assert rented.items() > two.items()

    # A plain deploy would forget a machine, so it does nothing; recovery keeps it.
    with pytest.raises(Failed, match="disagree"):
        fleet.deploy()
    assert fleet.contracts() == rented
    fleet.fleet.recover()
    fleet.assert_whole(3)
    fleet.deploy()
    fleet.fleet.resize(4)
    fleet.assert_whole(4)
    assert fleet.contracts().items() >= rented.items()


def test_a_shrink_that_failed_is_recovered_and_done_again(fleet: TestFleet) -> None:
    fleet.deploy(desired=2)
    victim = fleet.names()[0]
    # The contract cannot be destroyed for as long as the provider tries.
    fleet.admin("faults", {"kind": "auth_as_404", "on": "destroy", "times": 9})
    with pytest.raises(Failed, match="key") as caught:
        fleet.fleet.resize(1, victims=[victim])
    assert one_message(caught.value)
    fleet.admin("faults", method="DELETE")
    before = fleet.contracts()
    assert victim in before

    # A deploy would not know the victim any more, so it does nothing.
    with pytest.raises(Failed, match="disagree") as refused:
        fleet.deploy()
    assert "recover" in str(refused.value.hint)
    assert fleet.contracts() == before

    fleet.fleet.recover()
    fleet.assert_whole(2)
    assert fleet.contracts() == before
    fleet.fleet.resize(1, victims=[victim])
    fleet.assert_whole(1)
    assert victim not in fleet.contracts()


def test_settings_that_are_wrong_are_told_by_their_path(fleet: TestFleet) -> None:
    wrong: list[tuple[dict[str, object], list[str]]] = [
        ({"foo": 1}, ["fleet.foo: is not a setting"]),
        ({"max": "many", "diskGb": 1}, ["fleet.max", "'many'", "fleet.diskGb", "8"]),
        ({"min": 4, "max": 2}, ["min must not be above max", "4", "2"]),
        ({"image": "ollama"}, ["fleet.image", "version"]),
        ({"selection": {"maxPricePerHour": -1}}, ["fleet.selection.maxPricePerHour"]),
    ]
    for change, expected in wrong:
        with pytest.raises(Failed) as caught:
            fleet.deploy(**change)
        assert one_message(caught.value)
        assert [text for text in expected if text not in caught.value.message] == []
    settings = {key: value for key, value in fleet.settings.items() if key != "owner"}
    with pytest.raises(Failed, match="agent-docker:owner") as caught:
        fleet.fleet.stack.deploy(settings)
    assert one_message(caught.value)
    assert "init" in str(caught.value.hint)
    assert fleet.live() == {}
    assert fleet.calls("create") == [0]


def test_wrong_keys_and_passphrases_are_told_and_change_nothing(fleet: TestFleet) -> None:
    fleet.deploy()
    before = fleet.contracts()
    wrong_key = fleet.with_env(VASTAI_API_KEY="local-another-key")
    with pytest.raises(Failed, match="does not accept the key") as caught:
        wrong_key.deploy(min=2)
    assert one_message(caught.value)
    assert "local-another-key" not in str(caught.value)
    fleet.admin("faults", {"kind": "auth_as_404", "on": "any", "times": 99})
    with pytest.raises(Failed, match="does not accept the key") as caught:
        fleet.deploy(min=2)
    assert one_message(caught.value)
    # A key that was revoked must not look like a machine that is gone.
    with pytest.raises(Failed, match="does not accept the key"):
        fleet.fleet.stack.refresh()
    fleet.admin("faults", method="DELETE")

    (fleet.folder / "passphrase").write_text("another passphrase")
    for attempt in (fleet.deploy, lambda: fleet.fleet.resize(2), fleet.fleet.recover):
        with pytest.raises(WrongPassphrase) as denied:
            attempt()
        assert one_message(denied.value)
        assert "another passphrase" not in str(denied.value)
    (fleet.folder / "passphrase").write_text(PASSPHRASE_CANARY)
    fleet.assert_whole(1)
    assert fleet.contracts() == before


def test_while_an_update_runs_every_other_is_told_to_wait(fleet: TestFleet) -> None:
    fleet.deploy()
    fleet.admin("hold", {"on": "create", "point": "received"})
    running = threading.Thread(target=fleet.fleet.resize, args=(2,))
    running.start()
    try:
        fleet.until(fleet.is_held)
        elsewhere = fleet.with_state("another-installation")
        attempts = {
            "deploy": fleet.deploy,
            "resize": lambda: fleet.fleet.resize(3),
            "recover": fleet.fleet.recover,
            "deploy elsewhere": elsewhere.deploy,
            "recover elsewhere": elsewhere.fleet.recover,
        }
        for name, attempt in attempts.items():
            with pytest.raises(Busy) as caught:
                attempt()
            assert one_message(caught.value), name
            if name == "recover elsewhere":
                # Its record has no such engine: it cannot prove anything.
                assert "pulumi cancel" in str(caught.value.hint)
        # From there it cannot be told from one that was cut off; it is not touched either.
        with pytest.raises(CutOff, match="still runs elsewhere"):
            elsewhere.fleet.resize(3)
    finally:
        fleet.admin("release", {})
        running.join()
    fleet.assert_whole(2)


def test_a_change_that_nobody_named_is_refused(fleet: TestFleet) -> None:
    fleet.deploy(min=2)
    one, two = fleet.names()
    before = fleet.contracts()
    stack = fleet.fleet.stack
    larger = fleet.with_fleet(min=2, diskGb=80)["fleet"]
    with pytest.raises(Refused, match=f"replace {one}") as caught:
        stack.apply({"fleet": larger}, expendable=[two])
    assert two not in caught.value.message
    assert one_message(caught.value)
    gone = fleet.state().slots
    assert gone is not None
    only = {"slots": [s.model_dump(mode="json") for s in gone.slots if s.name == two], "issued": 2}
    with pytest.raises(Refused, match=f"delete {one}"):
        stack.apply({"slots": only})
    assert fleet.contracts() == before
    fleet.assert_whole(2)


def test_a_cloud_that_goes_away_in_mid_update_is_told(tmp_path: Path) -> None:
    raised: list[OperationError] = []
    with running_cloud(seed=1, key=VAST_CANARY, boot_seconds=0.05) as cloud:
        fleet = make_fleet(tmp_path, cloud)
        fleet.deploy()
        fleet.admin("hold", {"on": "search", "point": "received"})

        def grow() -> None:
            try:
                fleet.fleet.resize(2)
            except OperationError as error:
                raised.append(error)

        running = threading.Thread(target=grow)
        running.start()
        fleet.until(fleet.is_held)
    running.join()
    assert one_message(raised[0])
    assert isinstance(raised[0], Failed)
    assert "Vast.ai cannot be reached" in raised[0].message


def test_two_owners_never_touch_each_others_machines(new_fleet: NewFleet) -> None:
    ours, theirs = new_fleet("ours"), new_fleet("theirs", owner="ffffffffffff")
    with ours.fleet.cloud() as client:
        offer = client.search(Want(gpu="RTX 3090").query())[0]
    strangers = ours.rent_by_hand(offer.id, label="agent-docker/ours/gpu/gpu-7zsr")
    ours.deploy(min=2)
    theirs.deploy(min=2)
    assert len(ours.rentals()) == 5
    mine, other = ours.contracts(), theirs.contracts()
    assert set(mine.values()).isdisjoint(other.values())

    ours.fleet.resize(3)
    ours.fleet.recover()
    theirs.fleet.replace(theirs.names()[0])
    theirs.fleet.recover()
    assert ours.contracts().items() >= mine.items()
    ours.assert_whole(3)
    theirs.assert_whole(2)

    theirs.fleet.destroy(remove=True)
    assert theirs.live() == {}
    ours.assert_whole(3)
    ours.fleet.destroy()
    assert [rental["id"] for rental in ours.rentals()] == [strangers]


def one_message(error: OperationError) -> bool:
    """A message for a person: short, without a traceback or the engine's own noise."""
    text = str(error)
    noise = ("Traceback", 'File "', "update failed", "code: ", "stderr:", "grpc")
    return bool(error.message) and len(text) < 900 and not [word for word in noise if word in text]
