"""Exactly one machine a label, at every cut of a rental."""

import httpx
import pytest

from providers.vastai.errors import (
    Ambiguous,
    AuthFailed,
    NoSuchOffer,
    RateLimited,
    Rejected,
    Unavailable,
)
from providers.vastai.renting import RENT_DEADLINE
from tests.unit.conftest import Held
from tests.unit.test_vastai_cloud import FakeCloud, label, offer_row, order, wanted

A1 = label("gpu-a1")
LOST_AFTER = ["lost_after", "timeout_after", "503_after", "500_after", "no_id_after", "array_after"]
LOST_BEFORE = ["lost", "timeout", "503", "array"]


def test_a_rental_returns_what_was_rented(cloud: FakeCloud) -> None:
    rented = cloud.renter().rent(wanted(), order())
    assert (rented.contract, rented.machine, rented.host) == (501, 101, 11)
    assert (rented.gpu, rented.gpu_count, rented.disk_gb) == ("RTX 4090", 1, 50.0)
    assert (rented.interruptible, rented.cost_per_hour) == (False, 0.4)
    assert (rented.status, rented.adopted) == ("loading", False)
    assert cloud.calls == ["list", "search", "create"]


def test_a_bid_is_interruptible_and_costs_its_storage_too(cloud: FakeCloud) -> None:
    rented = cloud.renter().rent(wanted(bid=0.3), order())
    assert (rented.interruptible, rented.cost_per_hour) == (True, pytest.approx(0.31))


def test_the_turn_is_waited_for_before_the_deadline_starts(cloud: FakeCloud) -> None:
    class Slow(Held):
        def turn(self, endpoint: str) -> float:
            cloud.clock.now += 500.0
            return super().turn(endpoint)

    cloud.pace = Slow()
    assert cloud.renter().rent(wanted(), order()).contract == 501
    assert cloud.pace.turns[-1] == "create"


class TestFound:
    def test_the_one_that_carries_the_label_is_adopted(self, cloud: FakeCloud) -> None:
        cloud.add(77, gpu_name="RTX 5090", num_gpus=2, disk_space=80.2, is_bid=True, host_id=5)
        rented = cloud.renter().rent(wanted(), order())
        assert (rented.contract, rented.adopted, rented.status) == (77, True, "running")
        assert (rented.gpu, rented.gpu_count, rented.disk_gb) == ("RTX 5090", 2, 80.2)
        assert (rented.interruptible, rented.host, rented.cost_per_hour) == (True, 5, 0.4)
        assert cloud.calls == ["list"]

    def test_what_is_not_told_yet_is_unknown(self, cloud: FakeCloud) -> None:
        fields = ("gpu_name", "num_gpus", "disk_space", "is_bid", "actual_status", "machine_id")
        cloud.add(77, **dict.fromkeys(fields))
        rented = cloud.renter().rent(wanted(), order())
        assert (rented.gpu, rented.gpu_count, rented.disk_gb) == (None, None, None)
        assert (rented.interruptible, rented.machine, rented.status) == (None, None, "loading")

    @pytest.mark.parametrize(
        ("statuses", "best"),
        [
            (["running", "running", "loading"], 71),
            (["exited", "running", "running"], 72),
            (["offline", "unknown", None], 73),
            (["stopped", "frozen", "exited"], 71),
        ],
    )
    def test_of_several_the_best_lives_on(
        self, cloud: FakeCloud, statuses: list[str | None], best: int
    ) -> None:
        for contract, status in enumerate(statuses, 71):
            cloud.add(contract, actual_status=status)
        cloud.add(99, label=label("gpu-b2"))
        assert cloud.renter().rent(wanted(), order()).contract == best
        assert set(cloud.live) == {best, 99}

    def test_labels_of_others_are_not_ours(self, cloud: FakeCloud) -> None:
        for contract, text in enumerate([f"{A1}x", A1[:-1], A1.upper(), None, ""], 71):
            cloud.add(contract, label=text, machine_id=900 + contract)
        assert cloud.renter().rent(wanted(), order()).contract == 501
        assert len(cloud.live) == 6


class TestOffersGo:
    @pytest.mark.parametrize("form", ["gone_404", "gone_410"])
    def test_the_next_is_tried(self, cloud: FakeCloud, form: str) -> None:
        cloud.faults["create"] = [form, form]
        assert cloud.renter().rent(wanted(), order()).machine == 103
        assert cloud.count("search") == 1

    def test_all_gone_says_so(self, cloud: FakeCloud) -> None:
        cloud.offers = cloud.offers[:2]
        cloud.offers.append(offer_row(3, dph_total=2.0))
        cloud.faults["create"] = ["gone_404", "gone_410"]
        with pytest.raises(NoSuchOffer) as caught:
            cloud.renter().rent(wanted(), order())
        assert "2 already tried or rented in this update, 1 above the price cap" in str(
            caught.value
        )
        assert "hint: widen fleet.selection" in str(caught.value)

    def test_those_another_process_takes_meanwhile_are_left_to_it(self, cloud: FakeCloud) -> None:
        cloud.offers = cloud.offers[:2]
        renter, other = cloud.renter(), cloud.session()
        real = renter.session.take

        def outrun(offer: int) -> bool:
            return other.take(offer) and real(offer)

        object.__setattr__(renter.session, "take", outrun)
        with pytest.raises(NoSuchOffer, match="2 already tried"):
            renter.rent(wanted(), order())
        assert cloud.live == {}

    def test_an_empty_market_for_a_known_gpu(self, cloud: FakeCloud) -> None:
        cloud.offers = []
        with pytest.raises(NoSuchOffer, match=r"^no offer of 1 x RTX 4090 on Vast\.ai\n"):
            cloud.renter().rent(wanted(), order())

    def test_an_unknown_gpu_is_named_with_its_neighbours(self, cloud: FakeCloud) -> None:
        cloud.offers = []
        with pytest.raises(
            NoSuchOffer, match=r"'GTX 4090' is no GPU that Vast\.ai knows, it knows RTX 4090"
        ):
            cloud.renter().rent(wanted(gpu="GTX 4090"), order())

    def test_an_unknown_gpu_without_neighbours(self, cloud: FakeCloud) -> None:
        cloud.offers = []
        with pytest.raises(NoSuchOffer, match=r"'TPU v5' is no GPU that Vast\.ai knows\n"):
            cloud.renter().rent(wanted(gpu="TPU v5"), order())

    def test_names_that_cannot_be_read_do_not_hide_the_reason(self, cloud: FakeCloud) -> None:
        cloud.offers = []
        cloud.faults["user"] = ["503"] * 4
        with pytest.raises(NoSuchOffer, match=r"no offer of 1 x TPU on Vast\.ai\n"):
            cloud.renter().rent(wanted(gpu="TPU"), order())


class TestLostReplies:
    @pytest.mark.parametrize("lag", [0.0, 0.5, 3.0, 5.9])
    @pytest.mark.parametrize("fault", LOST_AFTER)
    def test_after_acceptance_the_machine_is_found(
        self, cloud: FakeCloud, fault: str, lag: float
    ) -> None:
        cloud.faults["create"], cloud.lag = [fault], lag
        rented = cloud.renter().rent(wanted(), order())
        assert (rented.contract, rented.adopted) == (501, True)
        assert (list(cloud.live), cloud.count("create")) == ([501], 1)

    @pytest.mark.parametrize("fault", LOST_BEFORE)
    def test_before_acceptance_it_is_rented_once(self, cloud: FakeCloud, fault: str) -> None:
        cloud.faults["create"] = [fault]
        rented = cloud.renter().rent(wanted(), order())
        assert (list(cloud.live), rented.adopted) == ([rented.contract], False)
        assert cloud.calls == ["list", "search", "create", *["list"] * 4, "create", "list"]

    def test_a_machine_that_shows_up_late_is_not_doubled(self, cloud: FakeCloud) -> None:
        cloud.faults["create"], cloud.lag = ["lost_after"], 6.5
        renter = cloud.renter()

        class Slow(Held):
            def turn(self, endpoint: str) -> float:
                cloud.clock.now += 4.5 if endpoint == "create" else 0.0
                return 0.0

        renter.client._pace = Slow()
        rented = renter.rent(wanted(), order())
        cloud.clock.now += 60
        assert rented.contract in cloud.live
        assert cloud.renter("two").rent(wanted(), order()).contract == 501
        assert list(cloud.live) == [501]

    @pytest.mark.parametrize("error", ["503", "429", "auth_404"])
    def test_an_unreadable_listing_leaves_it_open(self, cloud: FakeCloud, error: str) -> None:
        renter = cloud.renter()
        cloud.faults = {"create": ["lost_after"], "list": ["", *[error] * 4]}
        with pytest.raises(Ambiguous, match=f"unknown whether {A1} was rented"):
            renter.rent(wanted(), order())
        cloud.faults.clear()
        assert cloud.renter("two").rent(wanted(), order()).contract == 501
        assert cloud.count("create") == 1

    def test_a_second_machine_is_no_reason_to_lose_the_first(self, cloud: FakeCloud) -> None:
        cloud.faults = {"create": ["lost"], "list": ["", "", "", "", "", *["503"] * 4]}
        assert cloud.renter().rent(wanted(), order()).contract == 501

    def test_a_success_false_with_an_id_is_a_machine(self, cloud: FakeCloud) -> None:
        real = cloud._rent

        def stopped(offer: int, body: dict[str, object]) -> httpx.Response:
            body = real(offer, body).json() | {"success": False}
            return httpx.Response(200, json=body)

        cloud._rent = stopped  # type: ignore[method-assign]
        assert cloud.renter().rent(wanted(), order()).contract == 501


class TestSlowDown:
    def test_the_label_is_looked_for_before_the_same_offer_is_tried_again(
        self, cloud: FakeCloud
    ) -> None:
        cloud.faults["create"] = ["429", "429"]
        assert cloud.renter().rent(wanted(), order()).machine == 101
        assert cloud.calls[2:] == ["create", "list", "create", "list", "create"]

    def test_one_that_was_rented_all_the_same_is_adopted(self, cloud: FakeCloud) -> None:
        cloud.faults["create"] = ["429_after"]
        rented = cloud.renter().rent(wanted(), order())
        assert (rented.adopted, list(cloud.live)) == (True, [501])

    def test_we_do_not_insist_for_ever(self, cloud: FakeCloud) -> None:
        cloud.faults["create"] = ["429"] * 9
        with pytest.raises(RateLimited):
            cloud.renter().rent(wanted(), order())
        assert (cloud.count("create"), cloud.live) == (5, {})


class TestStops:
    @pytest.mark.parametrize(
        ("fault", "error"),
        [("refused", Rejected), ("auth_404", AuthFailed), ("unreachable", Unavailable)],
    )
    def test_what_no_other_offer_would_change_ends_it(
        self, cloud: FakeCloud, fault: str, error: type[Exception]
    ) -> None:
        cloud.faults["create"] = [fault]
        with pytest.raises(error):
            cloud.renter().rent(wanted(), order())
        assert cloud.count("create") == 1

    def test_the_deadline_counts_renting_alone(self, cloud: FakeCloud) -> None:
        timeouts: list[float] = []
        renter = cloud.renter()
        real = renter.client.create

        def slow(offer: int, rental: object, *, timeout: float) -> int:
            timeouts.append(timeout)
            cloud.clock.now += 8.0
            return real(offer, rental, timeout=timeout)

        renter.client.create = slow  # type: ignore[method-assign]
        cloud.faults["create"] = ["gone_404"] * 9
        with pytest.raises(Unavailable, match=f"within {RENT_DEADLINE:.0f} s of renting"):
            renter.rent(wanted(), order())
        assert timeouts == [20.0, 12.0, 4.0]

    def test_no_listing_no_rental(self, cloud: FakeCloud) -> None:
        cloud.faults["list"] = ["503"] * 4
        with pytest.raises(Unavailable):
            cloud.renter().rent(wanted(), order())
        assert cloud.count("create") == 0
