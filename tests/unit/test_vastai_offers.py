"""Which offers are rented, in which order, and what a person reads when none is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.fleet import Selection
from providers.vastai.models import Offer
from providers.vastai.offers import Want, choose, price, refusal, score
from tests.unit.test_vastai_cloud import offer_row

WANT = Want(gpu="RTX 4090", selection=Selection.model_validate({"minGpuRamGb": 24}))


def offer(number: int = 1, **changes: object) -> Offer:
    return Offer.model_validate(offer_row(number, **changes))


def selecting(**rules: object) -> Want:
    return Want(gpu="RTX 4090", selection=Selection.model_validate(rules))


def bidding(bid: float, **rules: object) -> Want:
    return Want(gpu="RTX 4090", bid=bid, selection=Selection.model_validate(rules))


def test_the_search_narrows_only_what_is_sure() -> None:
    want = Want(gpu="H100", gpu_count=2, disk_gb=80.0)
    assert want.query() == {
        "gpu_name": {"eq": "H100"},
        "num_gpus": {"eq": 2},
        "rentable": {"eq": True},
        "rented": {"eq": False},
        "type": "on-demand",
        "order": [["dph_total", "asc"]],
        "limit": 1000,
        "allocated_storage": 80.0,
    }
    assert bidding(0.3).query()["type"] == "bid"


@pytest.mark.parametrize(
    ("want", "fits", "fails", "reason"),
    [
        (WANT, {}, {"gpu_name": "RTX 4090D"}, "other GPU (RTX 4090D)"),
        (WANT, {}, {"num_gpus": 2}, "other GPU count (2)"),
        (WANT, {}, {"rentable": False}, "not rentable"),
        (WANT, {"rented": None}, {"rented": True}, "not rentable"),
        (WANT, {}, {"verification": "deverified"}, "not verified"),
        (selecting(verified=False), {"verification": None}, {"num_gpus": 4}, "other GPU count (4)"),
        (
            selecting(datacenter=True),
            {"hosting_type": 1},
            {"hosting_type": None},
            "not in a data centre",
        ),
        (
            selecting(regions=["US", "SE"]),
            {"geolocation": "Stockholm, SE"},
            {"geolocation": "Paris, FR"},
            "outside the regions (FR)",
        ),
        (
            selecting(regions=["US"]),
            {"geolocation": "us"},
            {"geolocation": None},
            "outside the regions (unknown)",
        ),
        # 24 GB less 7 % are 22,320 MB.
        (WANT, {"gpu_ram": 22_320}, {"gpu_ram": 22_319}, "too little GPU memory (22.3 GB)"),
        # Half of the cores is half of the host's memory: 16 GB less 7 % are 14,880 MB.
        (WANT, {"cpu_ram": 29_760}, {"cpu_ram": 29_759}, "too little memory (14.9 GB)"),
        (
            WANT,
            {"cpu_ram": 14_880, "cpu_cores": None},
            {"cpu_ram": 14_879, "cpu_cores": 0},
            "too little memory (14.9 GB)",
        ),
        (
            WANT,
            {"cpu_ram": 14_880, "cpu_cores": 4},
            {"cpu_ram": 14_879, "cpu_cores": 4},
            "too little memory (14.9 GB)",
        ),
        (WANT, {"reliability2": 0.95}, {"reliability2": 0.949}, "too unreliable (0.949)"),
        (WANT, {"disk_space": 50}, {"disk_space": 49.5}, "too little disk (49.5)"),
        (WANT, {"inet_down": 200}, {"inet_down": 199}, "slow download (199)"),
        (WANT, {"inet_up": 20}, {"inet_up": None}, "slow upload (0)"),
        (
            WANT,
            {"cpu_cores_effective": 4},
            {"cpu_cores_effective": 3, "cpu_cores": 6},
            "too few cores (3)",
        ),
        (
            selecting(minDirectPorts=2),
            {"direct_port_count": 2},
            {"direct_port_count": 1},
            "too few direct ports (1)",
        ),
        (WANT, {"cuda_max_good": 12.0}, {"cuda_max_good": 11.8}, "CUDA too old (11.8)"),
        (WANT, {"duration": 86_400}, {"duration": 82_800}, "ends too soon (23)"),
        (WANT, {"dph_total": 0.6}, {"dph_total": 0.601}, "above the price cap ($0.601/h)"),
        (bidding(0.3), {"min_bid": 0.3}, {"min_bid": 0.301}, "bid below the minimum ($0.301/h)"),
        (
            bidding(0.55),
            {"storage_total_cost": 0.04},
            {"storage_total_cost": 0.06},
            "above the price cap ($0.610/h)",
        ),
        (
            selecting(excludeMachines=[102]),
            {},
            {"machine_id": 102},
            "excluded machine (102)",
        ),
        (selecting(excludeHosts=[12]), {}, {"host_id": 12}, "excluded host (12)"),
        (
            Want(gpu="RTX 4090", exclude_machines=frozenset({102})),
            {},
            {"machine_id": 102},
            "excluded machine (102)",
        ),
        (
            Want(gpu="RTX 4090", exclude_hosts=frozenset({12})),
            {},
            {"host_id": 12},
            "excluded host (12)",
        ),
    ],
)
def test_each_rule_from_both_sides(
    want: Want, fits: dict[str, object], fails: dict[str, object], reason: str
) -> None:
    roomy = {"cpu_cores_effective": 8, "cpu_cores": 16}
    assert refusal(offer(**roomy | fits), want) is None
    assert refusal(offer(**roomy | fails), want) == reason


class TestOrder:
    def test_work_per_dollar_counts_not_the_price_alone(self) -> None:
        slow = offer(1, dph_total=0.2, dlperf=20.0)
        fast = offer(2, dph_total=0.4, dlperf=100.0)
        assert [found.id for found in choose([slow, fast], WANT).ranked] == [fast.id, slow.id]

    def test_an_unreliable_host_does_less_work(self) -> None:
        good, bad = offer(1, reliability2=1.0), offer(2, reliability2=0.95)
        assert score(good, WANT) < score(bad, WANT)

    @pytest.mark.parametrize("unknown", [{"dlperf": None}, {"dlperf": 0.5}, {"reliability2": None}])
    def test_what_was_not_measured_counts_as_the_least(self, unknown: dict[str, object]) -> None:
        assert score(offer(1, **unknown), WANT) > score(offer(2), WANT)

    def test_equal_offers_go_by_price_then_by_id(self) -> None:
        twins = [offer(3), offer(1), offer(2)]
        half = offer(9, dph_total=0.2, dlperf=50.0)
        ranked = choose([*twins, half], WANT).ranked
        assert [found.id for found in ranked] == [7009, 7001, 7002, 7003]

    def test_a_bid_costs_what_is_bid_and_the_storage(self) -> None:
        assert price(offer(storage_total_cost=0.02), bidding(0.3)) == pytest.approx(0.32)
        assert price(offer(dph_total=0.4), WANT) == 0.4

    def test_tried_offers_are_refused(self) -> None:
        found = choose([offer(1), offer(2)], WANT, tried={7001})
        assert [kept.id for kept in found.ranked] == [7002]
        assert [(no.offer, no.machine) for no in found.refused] == [(7001, 101)]


rows = st.builds(
    offer,
    st.integers(1, 60),
    dph_total=st.floats(0, 2, allow_nan=False),
    dlperf=st.floats(0, 400),
    reliability2=st.floats(0, 1),
    min_bid=st.floats(0, 1),
    storage_total_cost=st.floats(0, 0.5),
    gpu_ram=st.integers(10_000, 30_000),
    geolocation=st.sampled_from(["Texas, US", "Paris, FR", None]),
)
markets = st.lists(rows, max_size=12, unique_by=lambda found: found.id)
wants = st.one_of(
    st.builds(lambda cap: selecting(maxPricePerHour=cap), st.floats(0.01, 2)),
    st.builds(
        lambda bid, cap: bidding(bid, maxPricePerHour=cap), st.floats(0.01, 1), st.floats(0.01, 2)
    ),
)


@given(markets, wants)
def test_nothing_above_the_cap_is_ever_rented(market: list[Offer], want: Want) -> None:
    cap = want.selection.max_price_per_hour
    assert all(price(found, want) <= cap for found in choose(market, want).ranked)


@given(markets, wants, st.sets(st.integers(7001, 7060)))
def test_every_offer_is_ranked_or_refused_once(
    market: list[Offer], want: Want, tried: set[int]
) -> None:
    found = choose(market, want, tried=tried)
    ids = [kept.id for kept in found.ranked] + [no.offer for no in found.refused]
    assert sorted(ids) == sorted(offer.id for offer in market)
    assert not tried.intersection(kept.id for kept in found.ranked)


@given(markets, wants, st.randoms(use_true_random=False))
def test_the_order_of_the_answer_does_not_matter(
    market: list[Offer], want: Want, dice: st.DataObject
) -> None:
    shuffled = list(market)
    dice.shuffle(shuffled)
    assert choose(shuffled, want).ranked == choose(market, want).ranked


class TestWhyNone:
    def test_an_empty_market(self) -> None:
        assert choose([], WANT).why_none(WANT) == "no offer of 1 x RTX 4090 on Vast.ai"

    def test_the_reasons_are_counted_without_their_figures(self) -> None:
        market = [offer(n, dph_total=1 + n / 10) for n in range(1, 4)]
        market += [offer(4, geolocation="Paris, FR")]
        text = choose(market, selecting(regions=["US"])).why_none(WANT)
        assert text == (
            "none of 4 offers of 1 x RTX 4090 fits: 3 above the price cap, 1 outside the regions"
        )

    def test_only_the_four_commonest_reasons_are_told(self) -> None:
        bad = [
            {"gpu_ram": 1},
            {"inet_up": 1},
            {"inet_down": 1},
            {"cuda_max_good": 1},
            {"disk_space": 1},
        ]
        market = [offer(n, **row) for n, row in enumerate(bad)]
        assert choose(market, WANT).why_none(WANT).count(", ") == 3

    def test_what_was_tried_is_a_reason(self) -> None:
        text = choose([offer(1)], WANT, tried=[7001]).why_none(WANT)
        assert text.endswith("fits: 1 already tried or rented in this update")
