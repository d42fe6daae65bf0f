"""Whatever befalls any number of updates: one quiet update later each slot has one machine."""

import contextlib
import random
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from contracts.errors import AgentDockerError
from tests.unit.test_vastai_cloud import Clock, FakeCloud, label, offer_row, order, wanted

SLOTS = ["gpu-a1", "gpu-b2", "gpu-c3"]
ANY = ["lost", "lost_after", "timeout", "timeout_after", "503", "503_after", "429", "unreachable"]
FAULTS = {
    "create": [*ANY, "gone_404", "gone_410", "429_after", "no_id_after", "array", "refused", "die"],
    "list": [*ANY, "auth_404", "array"],
    "search": [*ANY, "auth_404"],
    "destroy": [*ANY, "auth_404", "refused", "die"],
    "show": [*ANY, "auth_404", "array"],
}


class Killed(BaseException):
    """The process ends here: nothing of ours runs any more but the release of its locks."""


class Deadly(FakeCloud):
    """`die` kills the caller, at random before or after its call took effect."""

    dice: random.Random

    def answer(self, request: httpx.Request) -> httpx.Response:
        kind, act = self._route(request)
        if self.faults.get(kind, [""])[:1] == ["die"]:
            self.faults[kind].pop(0)
            if self.dice.random() < 0.5:
                act()
            raise Killed
        return super().answer(request)


def troubled(folder: Path, seed: int) -> Deadly:
    dice = random.Random(seed)  # noqa: S311 - reproducible troubles
    cloud = Deadly(clock=Clock(), folder=folder, offers=[offer_row(n) for n in range(1, 30)])
    cloud.dice, cloud.lag = dice, dice.choice([0.0, 0.0, 1.0, 5.0])
    cloud.faults = {
        kind: [dice.choice([*faults, *[""] * len(faults)]) for _ in range(dice.randrange(12))]
        for kind, faults in FAULTS.items()
    }
    return cloud


def survive(action: Callable[[], object]) -> None:
    with contextlib.suppress(AgentDockerError, Killed):
        action()


@pytest.mark.parametrize("seed", range(150))
def test_after_any_faults_one_quiet_update_has_one_machine_a_slot(folder: Path, seed: int) -> None:
    cloud = troubled(folder, seed)
    for number in range(cloud.dice.randrange(1, 4)):
        renter = cloud.renter(f"update {number}")
        for slot in SLOTS:
            survive(lambda r=renter, s=slot: r.rent(wanted(), order(s)))
        cloud.clock.now += cloud.dice.choice([0.0, 2.0, 60.0])
        cloud.offers = [offer_row(n) for n in range(1, 30)]
    cloud.faults.clear()
    cloud.clock.now += cloud.lag
    quiet = cloud.renter("quiet")
    owned = {slot: quiet.rent(wanted(), order(slot)).contract for slot in SLOTS}
    assert cloud.labels() == [label(slot) for slot in SLOTS]
    assert set(owned.values()) == set(cloud.live)


@pytest.mark.parametrize("seed", range(60))
def test_a_machine_that_was_reported_ended_is_ended(folder: Path, seed: int) -> None:
    cloud = troubled(folder, seed)
    for contract, slot in enumerate(SLOTS, 900):
        cloud.add(contract, label=label(slot), machine_id=contract)
    renter, ended = cloud.renter(), []
    for contract in range(900, 903):
        survive(lambda c=contract: (renter.end(c), ended.append(c)))
    assert not set(ended) & set(cloud.live)
    cloud.faults.clear()
    for contract in range(900, 903):
        cloud.renter("quiet").end(contract)
    assert cloud.live == {}


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(
    st.lists(st.sampled_from(["lost", "lost_after", "503_after", "429", "gone_404"]), max_size=6),
    st.sampled_from([0.0, 1.0, 2.5, 5.9]),
)
def test_one_update_never_doubles_while_the_list_lags_by_seconds(
    faults: list[str], lag: float
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        cloud = FakeCloud(clock=Clock(), folder=Path(folder), lag=lag)
        cloud.faults["create"] = list(faults)
        survive(lambda: cloud.renter().rent(wanted(), order()))
        assert len(cloud.live) <= 1


@pytest.mark.parametrize("shards", [2, 4])
def test_shards_in_threads_rent_one_machine_a_slot(cloud: FakeCloud, shards: int) -> None:
    cloud.offers = [offer_row(n) for n in range(1, 30)]
    cloud.faults["create"] = ["gone_404", "lost_after", "", "lost", "429"]
    slots = [f"gpu-s{number}" for number in range(8)]
    renters = [cloud.renter() for _ in range(shards)]
    failed: list[Exception] = []

    def rent(number: int) -> None:
        try:
            # Each slot twice: a provider that outlived its update, and the next one.
            renters[number % shards].rent(wanted(), order(slots[number % 8]))
        except AgentDockerError as error:
            failed.append(error)

    threads = [threading.Thread(target=rent, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert cloud.labels() == [label(slot) for slot in slots]
    assert cloud.count("search") == 1
    machines = [row["machine_id"] for row in cloud.live.values()]
    assert len(set(machines)) == 8
