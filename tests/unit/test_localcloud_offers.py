"""The emulator's market: what is offered, found, taken and offered again."""

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from localcloud.vastai.offers.market import Market
from localcloud.vastai.offers.record import driver_number
from localcloud.vastai.offers.search import search
from localcloud.vastai.offers.stock import stocked
from localcloud.vastai.wire import ApiError, Json

NOW = 1_800_000_000.0
ALL: Json = {"limit": 5000}


@pytest.fixture(scope="module")
def market() -> Market:
    return stocked(1, 240, NOW)


def found(market: Market, **query: object) -> list[Json]:
    return search(market, {**ALL, **query}, NOW)


def number(row: Json, field: str) -> float:
    value = row[field]
    assert isinstance(value, int | float)
    return value


def test_the_same_seed_gives_the_same_offers() -> None:
    assert found(stocked(7, 50, NOW)) == found(stocked(7, 50, NOW))
    assert found(stocked(7, 50, NOW)) != found(stocked(8, 50, NOW))


@pytest.mark.parametrize("seed", range(12))
def test_a_hundred_good_4090s_can_be_rented(seed: int) -> None:
    rows = found(
        stocked(seed, 240, NOW),
        gpu_name={"eq": "RTX 4090"},
        num_gpus={"eq": 1},
        verified={"eq": True},
        direct_port_count={"gte": 3},
    )
    assert len(rows) >= 110


def test_the_market_has_the_spread_of_a_real_one(market: Market) -> None:
    rows = found(market, gpu_name={"eq": "RTX 4090"}, num_gpus={"eq": 1})
    prices = sorted(number(row, "dph_base") for row in rows)
    assert 0.25 <= prices[0] < 0.35
    assert 0.55 < prices[-1] <= 0.80
    assert {row["num_gpus"] for row in found(market)} == {1, 2, 4, 8}
    assert {row["verification"] for row in found(market)} == {"verified", "unverified"}
    assert {"H100 SXM", "A100 SXM4", "L40S", "RTX 3090"} <= {r["gpu_name"] for r in found(market)}
    assert all(24217 <= number(row, "gpu_ram") <= 24576 for row in rows)
    assert all(0.85 <= number(row, "reliability2") <= 0.999 for row in found(market))
    hosts = {machine.host_id for machine in market.machines.values()}
    assert len(hosts) < len(market.machines)


def test_a_small_market_is_as_small_as_asked() -> None:
    rows = found(stocked(1, 4, NOW), num_gpus={"eq": 1})
    assert len(rows) == 4
    assert sum(row["gpu_name"] == "RTX 4090" for row in rows) == 3


@pytest.mark.parametrize(
    ("query", "holds"),
    [
        ({"num_gpus": {"eq": "2"}}, lambda row: row["num_gpus"] == 2),
        ({"dph_total": {"lt": "0.4"}}, lambda row: row["dph_total"] < 0.4),
        ({"gpu_ram": {"gte": 40000.0}}, lambda row: row["gpu_ram"] >= 40000),
        (
            {"gpu_name": {"in": ["H100 SXM", "L40S"]}},
            lambda r: r["gpu_name"] in {"H100 SXM", "L40S"},
        ),
        ({"gpu_name": {"notin": ["RTX 4090"]}}, lambda row: row["gpu_name"] != "RTX 4090"),
        ({"gpu_name": {"neq": "RTX 4090"}}, lambda row: row["gpu_name"] != "RTX 4090"),
        ({"disk_space": {"gte": 1, "gt": "500"}}, lambda row: row["disk_space"] > 500),
        ({"num_gpus": {"lte": 2, "gt": 1}}, lambda row: row["num_gpus"] == 2),
        ({"verified": {"eq": True}}, lambda row: row["verification"] == "verified"),
        ({"verified": {"eq": False}}, lambda row: row["verification"] != "verified"),
        ({"datacenter": {"eq": True}}, lambda row: row["hosting_type"] >= 1),
        ({"geolocation": {"eq": "US"}}, lambda row: row["geolocation"].endswith(", US")),
        (
            {"geolocation": {"in": ["US", "DE"]}},
            lambda row: row["geolocation"][-2:] in {"US", "DE"},
        ),
        ({"geolocation": {"notin": ["US"]}}, lambda row: not row["geolocation"].endswith("US")),
        ({"geolocation": {"eq": "Texas, US"}}, lambda row: row["geolocation"] == "Texas, US"),
        ({"reliability": {"gte": 0.99}}, lambda row: row["reliability2"] >= 0.99),
        ({"driver_version": {"gte": "570.0.0"}}, lambda row: row["driver_vers"] >= 570_000_000),
        ({"driver_version": {"gte": 570000000}}, lambda row: row["driver_vers"] >= 570_000_000),
        ({"driver_version": {"in": ["550.90.07"]}}, lambda r: r["driver_version"] == "550.90.07"),
        ({"static_ip": {"eq": "true"}}, lambda row: row["static_ip"] is True),
        ({"machine_id": {"notin": ["10000"]}}, lambda row: row["machine_id"] != 10000),
        ({"num_gpus": 4}, lambda row: row["num_gpus"] == 4),
    ],
)
def test_filters(market: Market, query: Json, holds: Callable[[Json], bool]) -> None:
    rows = found(market, **query)
    everything = found(market)
    assert 0 < len(rows) < len(everything)
    assert [row["id"] for row in rows] == [row["id"] for row in everything if holds(row)]


def test_unknown_flags_are_ignored(market: Market) -> None:
    assert found(market, chunked={"eq": True}, georegion={"eq": True}) == found(market)


def test_null_matches_only_null(market: Market) -> None:
    assert found(market, cluster_id={"eq": None}) == found(market)
    assert found(market, cluster_id={"gte": 3}) == []
    assert found(market, machine_id={"eq": None}) == []


def test_offers_come_by_score_and_64_at_a_time(market: Market) -> None:
    rows = search(market, {}, NOW)
    scores = [number(row, "score") for row in rows]
    assert scores == sorted(scores, reverse=True)
    assert len(rows) == 64
    assert len(search(market, {"limit": "3"}, NOW)) == 3


def test_order(market: Market) -> None:
    rows = found(market, order=[["num_gpus", "desc"], ["dph_total", "asc"]])
    keys = [(-number(row, "num_gpus"), number(row, "dph_total")) for row in rows]
    assert keys == sorted(keys)


def test_storage_is_priced_in(market: Market) -> None:
    query = {"order": [["id", "asc"]], "disk_space": {"gte": 200}}
    small = found(market, allocated_storage=8, **query)
    large = found(market, allocated_storage=200.0, **query)
    assert [row["id"] for row in small] == [row["id"] for row in large]
    for one, other in zip(small, large, strict=True):
        extra = number(other, "dph_total") - number(one, "dph_total")
        assert extra == pytest.approx(number(one, "storage_cost") * 192 / 720, abs=2e-6)
    assert len(found(market, allocated_storage=1000)) < len(found(market))


def test_interruptible_offers_cost_the_lowest_bid(market: Market) -> None:
    rows = found(market, type="bid")
    assert all(row["dph_base"] == row["min_bid"] and row["is_bid"] for row in rows)
    assert not any(row["is_bid"] for row in found(market, type="ondemand"))


@pytest.mark.parametrize(
    "query",
    [
        {"num_gpus": {"eq": "many"}},
        {"num_gpus": {"eq": [1]}},
        {"num_gpus": {"near": 1}},
        {"num_gpus": {"in": 1}},
        {"num_gpus": {"gte": None}},
        {"static_ip": {"eq": "perhaps"}},
        {"type": "free"},
        {"limit": "all"},
        {"order": [["id", "up"]]},
        {"order": [[3]]},
        {"order": "id"},
        {"allocated_storage": "8"},
    ],
)
def test_nonsense_is_refused(market: Market, query: Json) -> None:
    with pytest.raises(ApiError, match="invalid_args"):
        found(market, **query)


def test_order_takes_bare_names_and_objects(market: Market) -> None:
    by_id = found(market, order=[["id", "asc"]])
    assert found(market, order=["id"]) == found(market, order=[{"col": "id"}]) == by_id
    assert found(market, order=[["id"]]) == by_id


def test_drivers_are_compared_as_numbers() -> None:
    assert driver_number("535.86.05") == 535086005


def test_taking_gpus_takes_every_offer_on_them() -> None:
    market = stocked(1, 60, NOW)
    machine = next(m for m in market.machines.values() if m.gpus == 4)
    pair = next(o for o in market.offers.values() if o.machine is machine and o.gpu_ids == (0, 1))
    assert market.take(machine.machine_id, pair.gpu_ids)
    left = {o.gpu_ids for o in market.offers.values() if o.machine is machine}
    assert left == {(2,), (3,), (2, 3)}
    assert pair.id in market.gone
    assert not market.take(machine.machine_id, (1,))
    market.release(machine.machine_id, pair.gpu_ids)
    again = {o.gpu_ids: o.id for o in market.offers.values() if o.machine is machine}
    assert set(again) == set(machine.slices())
    assert again[0, 1] > pair.id


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 10_000)), max_size=40))
def test_gpus_are_never_rented_twice(moves: list[tuple[bool, int]]) -> None:
    market = stocked(3, 24, NOW)
    complete = {(o.machine.machine_id, o.gpu_ids) for o in market.offers.values()}
    rented: list[tuple[int, tuple[int, ...]]] = []
    seen = set(market.offers)
    for take, choice in moves:
        if take and market.offers:
            offer = list(market.offers.values())[choice % len(market.offers)]
            assert market.take(offer.machine.machine_id, offer.gpu_ids)
            rented.append((offer.machine.machine_id, offer.gpu_ids))
        elif rented:
            market.release(*rented.pop(choice % len(rented)))
        taken = {(machine, gpu) for machine, gpus in rented for gpu in gpus}
        assert len(taken) == sum(len(gpus) for _, gpus in rented)
        assert not any(
            (o.machine.machine_id, gpu) in taken
            for o in market.offers.values()
            for gpu in o.gpu_ids
        )
        assert not market.gone & set(market.offers)
        seen |= set(market.offers)
    while rented:
        market.release(*rented.pop())
    assert {(o.machine.machine_id, o.gpu_ids) for o in market.offers.values()} == complete
