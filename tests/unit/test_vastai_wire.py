"""Renting and ending over real connections: the emulator breaks them as Vast.ai and networks do."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from localcloud.vastai.server import RunningCloud, running_cloud
from providers.vastai.client import VastClient
from providers.vastai.credentials import Credentials
from providers.vastai.errors import AuthFailed, NotFound, RateLimited, VastError
from providers.vastai.pacing import NoPace
from providers.vastai.renting import Renter
from providers.vastai.session import UpdateSession
from tests.unit.test_vastai_cloud import KEY, order, wanted


@pytest.fixture(scope="module")
def emulator() -> Iterator[RunningCloud]:
    with running_cloud(offers=120, boot_seconds=0.0) as cloud:
        yield cloud


@pytest.fixture
def real(emulator: RunningCloud) -> Iterator[RunningCloud]:
    yield emulator
    emulator.run(lambda cloud: [cloud.destroy(rental) for rental in list(cloud.live())])
    emulator.run(lambda cloud: cloud.faults.clear())


@pytest.fixture
def renter(real: RunningCloud, folder: Path) -> Iterator[Renter]:
    def at_once(_seconds: float) -> None:
        pass

    credentials = Credentials(key=KEY, url=real.url)
    with VastClient(credentials, pace=NoPace(), sleep=at_once) as client:
        session = UpdateSession(client, update="one", folder=folder)
        yield Renter(client=client, session=session, sleep=at_once)


def befall(real: RunningCloud, kind: str, **rest: object) -> None:
    real.run(lambda cloud: cloud.faults.order({"kind": kind, **rest}))


def live(real: RunningCloud) -> list[int]:
    return [rental.id for rental in real.cloud.live()]


@pytest.mark.parametrize(
    ("kind", "rest", "adopted"),
    [
        ("lost_reply", {}, True),
        ("server_error", {"when": "after", "status": 502}, True),
        ("never_received", {}, False),
        ("server_error", {"when": "before"}, False),
        ("offer_vanishes", {"form": "404"}, False),
        ("offer_vanishes", {"form": "404_legacy"}, False),
        ("offer_vanishes", {"form": "410"}, False),
        ("resources_unavailable", {}, False),
        ("rate_limited", {"form": "text"}, False),
        ("rate_limited", {"form": "json"}, False),
        ("rate_limited", {"form": "retry_after"}, False),
    ],
)
def test_one_machine_whatever_befalls_the_create(
    real: RunningCloud, renter: Renter, kind: str, rest: dict[str, object], *, adopted: bool
) -> None:
    befall(real, kind, on="create", **rest)
    rented = renter.rent(wanted(), order())
    assert (live(real), rented.adopted) == ([rented.contract], adopted)
    assert renter.client.instance(rented.contract).label == order().label


@pytest.mark.parametrize(
    ("kind", "rest"),
    [
        ("lost_reply", {}),
        ("never_received", {}),
        ("server_error", {"when": "after"}),
        ("server_error", {"when": "before"}),
        ("rate_limited", {}),
    ],
)
def test_an_end_is_proved_whatever_befalls_the_destroy(
    real: RunningCloud, renter: Renter, kind: str, rest: dict[str, object]
) -> None:
    contract = renter.rent(wanted(), order()).contract
    befall(real, kind, on="destroy", **rest)
    renter.end(contract)
    assert live(real) == []
    with pytest.raises(NotFound):
        renter.client.instance(contract)


@pytest.mark.parametrize("on", ["create", "destroy", "show", "list"])
def test_a_key_refused_as_404_is_never_read_as_gone(
    real: RunningCloud, renter: Renter, on: str
) -> None:
    contract = renter.rent(wanted(), order()).contract
    befall(real, "auth_as_404", on=on)
    calls = {
        "create": lambda: renter.rent(wanted(), order("gpu-b2")),
        "destroy": lambda: renter.end(contract),
        "show": lambda: renter.end(contract),
        "list": lambda: renter.session.instances(fresh=True),
    }
    with pytest.raises(AuthFailed):
        calls[on]()


def test_more_than_a_page_is_listed_whole(real: RunningCloud, renter: Renter) -> None:
    wish = wanted()
    for offer in renter.client.search(wish.query())[:30]:
        try:
            renter.client.create(offer.id, order(f"gpu-p{offer.id}"))
        except VastError:
            continue  # Larger offers share GPUs with smaller ones.
    assert len(live(real)) > 25
    assert sorted(item.id for item in renter.client.instances()) == sorted(live(real))


@pytest.mark.parametrize("bid", [None, 0.5])
def test_the_price_that_was_told_is_the_price_that_is_billed(
    renter: Renter, bid: float | None
) -> None:
    rented = renter.rent(wanted(bid=bid), order().model_copy(update={"price": bid}))
    billed = renter.client.instance(rented.contract).dph_total
    assert rented.cost_per_hour == pytest.approx(billed, abs=1e-6)


def test_bids_labels_logs_and_templates(renter: Renter) -> None:
    bid = wanted(bid=0.5)
    contract = renter.rent(bid, order().model_copy(update={"price": 0.5})).contract
    client = renter.client
    client.bid(contract, 0.55)
    client.set_label(contract, "other")
    client.update_template(contract, image="a/b:2", env={"A": "b"}, onstart="/bin/sh", args=["x"])
    seen = client.instance(contract)
    assert (seen.label, seen.is_bid, seen.image_uuid) == ("other", True, "a/b:2")
    assert seen.dph_total == pytest.approx(0.55, abs=0.05)
    client.stop(contract)
    assert client.instance(contract).intended_status == "stopped"
    client.start(contract)
    assert isinstance(client.logs(contract), str)
    assert client.current_user().credit > 0


def test_a_refused_read_gives_up_in_the_end(real: RunningCloud, renter: Renter) -> None:
    befall(real, "rate_limited", on="list", times=4)
    with pytest.raises(RateLimited):
        renter.client.instances()


def test_shards_at_once_rent_one_machine_each(real: RunningCloud, renter: Renter) -> None:
    befall(real, "lost_reply", on="create", skip=2)
    befall(real, "offer_vanishes", skip=3)
    slots = [f"gpu-w{number}" for number in range(6)]
    threads = [threading.Thread(target=renter.rent, args=(wanted(), order(slot))) for slot in slots]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    labels = sorted(rental.order.label or "" for rental in real.cloud.live())
    assert labels == [order(slot).label for slot in slots]
