"""A rental's life and its bill, on a clock that only the test moves."""

import contextlib
from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from localcloud.vastai.billing import UNITS_PER_DOLLAR, dollars
from localcloud.vastai.clock import ManualClock
from localcloud.vastai.cloud import Cloud
from localcloud.vastai.offers.market import Offer
from localcloud.vastai.rentals.lifecycle import (
    FATES,
    befall,
    change_bid,
    change_state,
    relabel,
    restart,
    serve_queue,
    update_template,
)
from localcloud.vastai.rentals.rental import OCI_ERROR, Order, Rental, Status, Twist
from localcloud.vastai.settings import Settings
from localcloud.vastai.wire import ApiError

IMAGE = Order(image="ollama/ollama:0.12.6", disk=20.0)


def make_cloud(credit: float = 1000.0) -> Cloud:
    options = Settings(seed=1, boot_seconds=10.0, offers=24, first_id=500, credit=credit)
    return Cloud(options, ManualClock())


@pytest.fixture
def cloud() -> Cloud:
    return make_cloud()


def offers(cloud: Cloud) -> list[Offer]:
    return [o for o in cloud.market.offers.values() if o.gpus == 1 and o.machine.disk_gb > 200]


def rent(cloud: Cloud, order: Order = IMAGE, twist: Twist | None = None) -> Rental:
    return cloud.rent(offers(cloud)[0].id, order, twist)


def bid(cloud: Cloud) -> Order:
    return replace(IMAGE, price=offers(cloud)[0].min_bid, cancel_unavail=False)


def after(cloud: Cloud, seconds: float) -> None:
    cloud.clock.advance(seconds)
    cloud.settle()
    serve_queue(cloud)


def running(cloud: Cloud, order: Order = IMAGE) -> Rental:
    rental = rent(cloud, order)
    after(cloud, 10)
    assert rental.status is Status.RUNNING
    return rental


def dollars_of(rental: Rental, cloud: Cloud) -> Decimal:
    return dollars(rental.bill(cloud.clock.now()))


def test_booting_goes_through_the_states(cloud: Cloud) -> None:
    rental = rent(cloud)
    seen = [rental.status]
    for _ in range(10):
        after(cloud, 1)
        seen.append(rental.status)
    assert list(dict.fromkeys(seen)) == [None, Status.CREATED, Status.LOADING, Status.RUNNING]
    assert rental.status_msg == "success, running ollama/ollama:0.12.6/ssh"
    assert cloud.next_change() is None


def test_ids_count_up_from_the_first(cloud: Cloud) -> None:
    assert [rent(cloud).id, rent(cloud).id] == [500, 501]


def test_the_gpu_is_billed_from_running_and_the_disk_from_creation(cloud: Cloud) -> None:
    rental = rent(cloud)
    after(cloud, 10)
    assert rental.gpu.read(cloud.clock.now()) == 0
    after(cloud, 3600)
    expected = rental.gpu_rate * 3600 * 1000 + rental.storage_rate * 3610 * 1000
    assert rental.bill(cloud.clock.now()) == expected


def test_a_late_look_bills_the_same_as_a_close_one() -> None:
    bills = []
    for step in (0.5, 70.0):
        cloud = make_cloud()
        rental = rent(cloud)
        while cloud.clock.now() < 1_800_000_070:
            after(cloud, step)
        bills.append(rental.bill(cloud.clock.now()))
    assert bills[0] == bills[1]


def test_stopping_bills_the_disk_only_and_destroying_ends_it(cloud: Cloud) -> None:
    rental = running(cloud)
    change_state(cloud, rental, "stopped")
    before = rental.bill(cloud.clock.now())
    after(cloud, 3600)
    assert rental.bill(cloud.clock.now()) - before == rental.storage_rate * 3_600_000
    cloud.destroy(rental)
    before = rental.bill(cloud.clock.now())
    after(cloud, 3600)
    assert rental.bill(cloud.clock.now()) == before
    assert cloud.find(rental.id) is None
    with pytest.raises(ApiError, match="no_such_instance"):
        cloud.get(rental.id)


def test_frozen_is_billed_and_does_not_serve(cloud: Cloud) -> None:
    rental = running(cloud)
    change_state(cloud, rental, "frozen")
    before = rental.gpu.read(cloud.clock.now())
    after(cloud, 1)
    assert rental.gpu.read(cloud.clock.now()) > before
    assert not rental.serves
    change_state(cloud, rental, "running")
    after(cloud, 10)
    assert rental.serves


def test_an_offline_host_bills_nothing_and_does_not_start(cloud: Cloud) -> None:
    rental = running(cloud)
    befall(cloud, rental, "offline")
    before = rental.bill(cloud.clock.now())
    after(cloud, 3600)
    assert rental.bill(cloud.clock.now()) == before
    assert change_state(cloud, rental, "running")["error"] == "resources_unavailable"
    after(cloud, 3600)
    assert rental.status is Status.OFFLINE


def test_credit_falls_with_the_bill(cloud: Cloud) -> None:
    rental = running(cloud)
    after(cloud, 3600)
    assert cloud.credit() == 1000 * UNITS_PER_DOLLAR - rental.bill(cloud.clock.now())


def test_without_credit_everything_stops() -> None:
    cloud = make_cloud(credit=0.1)
    rental = running(cloud)
    after(cloud, 3600)
    assert rental.status is Status.STOPPED
    assert not rental.holds_gpus
    with pytest.raises(ApiError, match="missing_billing"):
        change_state(cloud, rental, "running")
    with pytest.raises(ApiError, match="credit"):
        rent(cloud)


def test_an_offer_is_gone_once_rented(cloud: Cloud) -> None:
    offer = offers(cloud)[0]
    cloud.rent(offer.id, IMAGE)
    with pytest.raises(ApiError) as gone:
        cloud.rent(offer.id, IMAGE)
    assert (gone.value.status, gone.value.code) == (410, "no_such_ask")
    with pytest.raises(ApiError) as gone:
        cloud.rent(offer.id, replace(IMAGE, cancel_unavail=False))
    assert gone.value.status == 404
    with pytest.raises(ApiError) as unknown:
        cloud.rent(1, IMAGE)
    assert unknown.value.status == 404


def test_a_destroyed_rental_s_gpu_comes_back_under_a_new_offer(cloud: Cloud) -> None:
    offer = offers(cloud)[0]
    rental = cloud.rent(offer.id, IMAGE)
    cloud.destroy(rental)
    again = [
        o
        for o in cloud.market.offers.values()
        if o.machine is offer.machine and o.gpu_ids == offer.gpu_ids
    ]
    assert [o.id != offer.id for o in again] == [True]


def test_unsuitable_orders_are_refused(cloud: Cloud) -> None:
    offer = offers(cloud)[0]
    with pytest.raises(ApiError, match="disk must be at most"):
        cloud.rent(offer.id, replace(IMAGE, disk=1e6))
    with pytest.raises(ApiError, match="invalid_price"):
        cloud.rent(offer.id, replace(IMAGE, price=offer.min_bid - 1))
    assert not cloud.rentals


def test_an_order_can_be_for_a_stopped_instance(cloud: Cloud) -> None:
    rental = rent(cloud, replace(IMAGE, running=False))
    assert (rental.status, rental.cur_state) == (Status.STOPPED, "stopped")
    assert change_state(cloud, rental, "running") == {"success": True}
    after(cloud, 10)
    assert rental.serves


def test_a_lost_race_leaves_a_stopped_instance_or_nothing(cloud: Cloud) -> None:
    offer = offers(cloud)[0]
    with pytest.raises(ApiError) as gone:
        cloud.rent_without_gpus(offer.id, IMAGE)
    assert gone.value.status == 410
    assert not cloud.rentals
    other = offers(cloud)[0]
    rental = cloud.rent_without_gpus(other.id, replace(IMAGE, cancel_unavail=False))
    assert (rental.status, rental.intended, rental.queued) == (Status.STOPPED, "stopped", True)


def test_a_start_waits_for_the_gpu(cloud: Cloud) -> None:
    rental = running(cloud)
    change_state(cloud, rental, "stopped")
    taken = (rental.offer.machine.machine_id, rental.offer.gpu_ids)
    assert cloud.market.take(*taken)
    assert change_state(cloud, rental, "running")["error"] == "resources_unavailable"
    after(cloud, 100)
    assert rental.status is Status.STOPPED
    cloud.market.release(*taken)
    after(cloud, 0)
    assert rental.status is Status.LOADING
    after(cloud, 10)
    assert rental.serves
    assert change_state(cloud, rental, "running") == {"success": True}


def test_a_taken_gpu_cannot_be_forced(cloud: Cloud) -> None:
    rental = running(cloud)
    change_state(cloud, rental, "stopped")
    assert change_state(cloud, rental, "frozen")["error"] == "invalid_id"
    assert cloud.market.take(rental.offer.machine.machine_id, rental.offer.gpu_ids)
    with pytest.raises(ApiError, match="resources_unavailable"):
        befall(cloud, rental, "finish_boot")
    assert not rental.serves


def test_twists_keep_it_from_booting_until_an_admin_helps(cloud: Cloud) -> None:
    stuck = rent(cloud, twist=Twist(stuck=True))
    broken = rent(cloud, twist=Twist(boot_error=OCI_ERROR))
    after(cloud, 3600)
    assert stuck.status is Status.LOADING
    assert (broken.status, broken.status_msg) == (Status.CREATED, OCI_ERROR)
    assert change_state(cloud, broken, "running") == {"success": True}
    after(cloud, 3600)
    assert broken.status is Status.CREATED
    for rental in (stuck, broken):
        befall(cloud, rental, "finish_boot")
        assert rental.serves


def test_fates(cloud: Cloud) -> None:
    dead, ended, gone = (running(cloud) for _ in range(3))
    befall(cloud, dead, "die")
    assert (dead.status, dead.serves) == (Status.RUNNING, False)
    befall(cloud, ended, "exit")
    assert (ended.status, ended.intended, ended.holds_gpus) == (Status.EXITED, "running", True)
    befall(cloud, gone, "vanish")
    assert cloud.find(gone.id) is None
    with pytest.raises(ApiError, match="no_such_fate"):
        befall(cloud, dead, "sneeze")
    assert restart(cloud, dead, Status.REBOOTING) == {"success": True}
    assert dead.status is Status.REBOOTING
    after(cloud, 10)
    assert dead.serves


def test_outbid_and_back(cloud: Cloud) -> None:
    rental = running(cloud, bid(cloud))
    befall(cloud, rental, "outbid")
    assert (rental.status, rental.intended, rental.cur_state) == (
        Status.STOPPED,
        "running",
        "stopped",
    )
    change_bid(cloud, rental, rental.gpu_rate / 1e6)
    assert rental.status is Status.STOPPED
    change_bid(cloud, rental, None)
    assert rental.gpu_rate == rental.offer.price
    after(cloud, 10)
    assert rental.serves


def test_a_new_bid_counts_from_now(cloud: Cloud) -> None:
    rental = running(cloud, bid(cloud))
    old = rental.gpu_rate
    after(cloud, 100)
    change_bid(cloud, rental, 0.7)
    after(cloud, 100)
    assert rental.gpu.read(cloud.clock.now()) == (old + 700_000) * 100_000
    with pytest.raises(ApiError, match=r"Please set a bid price >= 0\.001"):
        change_bid(cloud, rental, 0)
    with pytest.raises(ApiError, match="on-demand"):
        change_bid(cloud, rent(cloud), 0.5)


def test_labels(cloud: Cloud) -> None:
    rental = rent(cloud)
    relabel(cloud, rental, "x" * 1024)
    assert rental.order.label == "x" * 1024
    relabel(cloud, rental, None)
    assert rental.order.label is None
    with pytest.raises(ApiError, match="label_too_long"):
        relabel(cloud, rental, "x" * 1025)
    with pytest.raises(ApiError, match="label must be a string"):
        relabel(cloud, rental, 3)


def test_updating_recreates_a_running_container(cloud: Cloud) -> None:
    rental = running(cloud)
    update_template(cloud, rental, {"image": "b:2", "env": "-e X=y", "onstart": "run", "disk": 30})
    assert rental.order.image == "b:2"
    assert rental.order.env == (("X", "y"),)
    assert (rental.order.onstart, rental.order.disk) == ("run", 30)
    assert rental.status is Status.RECYCLING
    after(cloud, 10)
    update_template(cloud, rental, {"env": {"A": "b"}, "args": "serve now", "recycle": False})
    assert rental.order.args == ("serve", "now")
    assert rental.status is Status.RUNNING
    change_state(cloud, rental, "stopped")
    update_template(cloud, rental, {"args_str": "again"})
    assert (rental.order.args, rental.status) == (("again",), Status.STOPPED)
    assert restart(cloud, rental, Status.REBOOTING)["error"] == "invalid_id"
    with pytest.raises(ApiError, match="env"):
        update_template(cloud, rental, {"env": "x" * 40_000})
    with pytest.raises(ApiError, match="state must be"):
        change_state(cloud, rental, "asleep")


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["running", "stopped", "frozen", "destroy", "rent", *FATES]),
            st.integers(0, 30),
        ),
        max_size=30,
    )
)
def test_bills_never_fall_and_gpus_are_never_lost(moves: list[tuple[str, int]]) -> None:
    cloud = make_cloud()
    total = len(cloud.market.offers)
    last = 0
    for move, seconds in moves:
        live = list(cloud.live())
        if move == "rent" or not live:
            rent(cloud)
        elif move == "destroy":
            cloud.destroy(live[-1])
        elif move in FATES:
            with contextlib.suppress(ApiError):  # finish_boot, when the GPU is gone
                befall(cloud, live[0], move)
        else:
            change_state(cloud, live[0], move)
        after(cloud, seconds)
        assert cloud.bill() >= last
        last = cloud.bill()
        assert all(r.holds_gpus for r in cloud.live() if r.status is Status.RUNNING)
    for rental in list(cloud.live()):
        cloud.destroy(rental)
    assert len(cloud.market.offers) == total
    final = cloud.bill()
    after(cloud, 1000)
    assert cloud.bill() == final
