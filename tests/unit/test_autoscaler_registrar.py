"""agent-router is told what is ready, whatever it knew before."""

from collections.abc import Sequence

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoscaler.registrar import HttpRouter, Synced, sync
from contracts.outputs import InstanceOutput
from providers import agent_router
from providers.agent_router import Registration
from tests.unit.autoscaler_fakes import NAMES, URL, FakeRouter, endpoint, record

MODELS = ("llama3.2", "codellama")
RECORDS = [record(name, number) for number, name in enumerate(NAMES[:3], 1)]
ENDPOINTS = [row.endpoint for row in RECORDS]
OURS = frozenset(ENDPOINTS)


def synced(
    router: FakeRouter,
    ready: Sequence[InstanceOutput],
    *,
    ours: frozenset[str] = OURS,
    models: Sequence[str] = MODELS,
) -> Synced:
    return sync(router, list(router.rows.values()), ready=ready, ours=ours, models=models)


@pytest.fixture
def router() -> FakeRouter:
    return FakeRouter()


def test_what_is_ready_is_registered_once(router: FakeRouter) -> None:
    done = synced(router, RECORDS[:2])
    assert done == Synced(registered=tuple(ENDPOINTS[:2]), endpoints=frozenset(ENDPOINTS[:2]))
    row = router.rows[ENDPOINTS[0]]
    assert (row["models"], row["gpu_type"]) == (["llama3.2", "codellama"], "RTX 4090")
    assert row["cost_per_hour"] == 0.36
    assert synced(router, RECORDS[:2]) == Synced(endpoints=frozenset(ENDPOINTS[:2]))


def test_what_is_not_ready_is_taken_out_once(router: FakeRouter) -> None:
    synced(router, RECORDS)
    router.serve(ENDPOINTS[0], 2)
    done = synced(router, RECORDS[2:])
    assert done.deregistered == tuple(ENDPOINTS[:2])
    assert done.endpoints == {ENDPOINTS[2]}
    # The first is still in the list: it drains.
    assert list(router.rows) == [ENDPOINTS[0], ENDPOINTS[2]]
    assert synced(router, RECORDS[2:]) == Synced(endpoints=frozenset({ENDPOINTS[2]}))


def test_a_router_that_hangs_at_each_call_is_left_alone_until_the_next_tick(
    router: FakeRouter,
) -> None:
    synced(router, RECORDS[:1])
    router.told.clear()
    # The first call has taken all the time that there is.
    times = iter([0.0, 0.0, *[31.0] * 9])
    rows = list(router.rows.values())
    done = sync(
        router, rows, ready=RECORDS[1:], ours=OURS, models=MODELS, clock=lambda: next(times)
    )
    assert router.told == [("deregister", ENDPOINTS[0])]
    assert done == Synced(deregistered=(ENDPOINTS[0],))
    assert synced(router, RECORDS[1:]).registered == tuple(ENDPOINTS[1:])


def test_a_router_that_forgot_everything_is_told_again(router: FakeRouter) -> None:
    synced(router, RECORDS)
    router.rows.clear()
    assert synced(router, RECORDS).registered == tuple(ENDPOINTS)


def test_rows_of_others_are_never_touched(router: FakeRouter) -> None:
    for foreign in ("http://10.0.0.1:11434", "http://gpu-else-9.t.net:11434"):
        router.register(Registration(endpoint=foreign, models=[], gpu_type="x", cost_per_hour=0.0))
    before = dict(router.rows)
    router.told.clear()
    synced(router, RECORDS[:1])
    synced(router, [])
    assert router.told == [("register", ENDPOINTS[0]), ("deregister", ENDPOINTS[0])]
    assert router.rows == before


def test_one_of_ours_that_has_no_slot_any_more_is_taken_out(router: FakeRouter) -> None:
    left = endpoint("gpu-left", 99)
    router.register(Registration(endpoint=left, models=[], gpu_type="x", cost_per_hour=0.0))
    assert synced(router, [], ours=frozenset({left})).deregistered == (left,)


def test_one_refusal_does_not_stop_the_rest(router: FakeRouter) -> None:
    synced(router, RECORDS[:2])
    router.refuses = {ENDPOINTS[0]}
    done = synced(router, RECORDS[2:])
    assert done.registered == (ENDPOINTS[2],)
    assert done.deregistered == (ENDPOINTS[1],)
    assert len(done.errors) == 1
    # It still gets work.
    assert done.endpoints == {ENDPOINTS[0], ENDPOINTS[2]}
    router.rows.clear()
    done = synced(router, RECORDS)
    assert done.endpoints == set(ENDPOINTS[1:])
    assert len(done.errors) == 1


def test_what_drains_is_taken_back_when_it_is_ready_again(router: FakeRouter) -> None:
    synced(router, RECORDS[:1])
    router.serve(ENDPOINTS[0], 2)
    synced(router, [])
    assert router.takes == set()
    assert synced(router, RECORDS[:1]).registered == (ENDPOINTS[0],)
    assert router.rows[ENDPOINTS[0]]["in_flight"] == 2


@pytest.mark.parametrize("change", ["models", "price"])
def test_a_change_is_told_once(router: FakeRouter, change: str) -> None:
    synced(router, RECORDS)
    models = ("qwen3",) if change == "models" else MODELS
    rows = RECORDS
    if change == "price":
        rows = [row.model_copy(update={"cost_per_hour": 0.5}) for row in RECORDS]
    assert synced(router, rows, models=models).registered == tuple(ENDPOINTS)
    assert synced(router, rows, models=models).registered == ()


def test_a_router_that_repeats_only_the_endpoint_is_not_told_for_ever(router: FakeRouter) -> None:
    router.rows = {ENDPOINTS[0]: {"endpoint": ENDPOINTS[0]}}
    assert synced(router, RECORDS[:1]) == Synced(endpoints=frozenset({ENDPOINTS[0]}))


@given(
    st.sets(st.integers(0, 2)),
    st.sets(st.integers(0, 2)),
    st.sets(st.integers(0, 2)),
    st.dictionaries(st.integers(0, 2), st.integers(1, 3)),
)
def test_two_rounds_end_where_they_should_whatever_was_before(
    before: set[int], drained: set[int], ready: set[int], serving: dict[int, int]
) -> None:
    router = FakeRouter()
    synced(router, [RECORDS[n] for n in before])
    for number, count in serving.items():
        router.serve(ENDPOINTS[number], count)
    for number in drained:
        router.deregister(ENDPOINTS[number])
    wanted = [RECORDS[n] for n in ready]
    synced(router, wanted)
    assert router.takes == {row.endpoint for row in wanted}
    router.told.clear()
    assert synced(router, wanted).endpoints == router.takes
    assert router.told == []


def test_over_http_it_is_the_contract(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, str, float | None]] = []

    def answer(method: str, router: str, http: httpx.Client, **_: object) -> httpx.Response:
        asked.append((method, router, http.timeout.read))
        return httpx.Response(200, json=[])

    monkeypatch.setattr(agent_router, "_call", answer)
    router = HttpRouter(url=URL)
    assert router.providers() == []
    router.register(Registration(endpoint="x", models=[], gpu_type="x", cost_per_hour=0.0))
    router.deregister("x")
    assert asked == [("GET", URL, 5.0), ("POST", URL, 5.0), ("DELETE", URL, 5.0)]
