"""Every fault, hold and fate that tests of the provider order."""

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import httpx
import pytest

from localcloud.vastai.server import RunningCloud, running_cloud

Poll = Callable[[Callable[[], bool]], None]
BODY = {"image": "a:1", "disk": 10, "cancel_unavail": True}


def create(api: httpx.Client, **body: object) -> httpx.Response:
    query = {"num_gpus": {"eq": 1}, "direct_port_count": {"gte": 3}, "limit": 1}
    number = api.post("/api/v0/bundles/", json=query).json()["offers"][0]["id"]
    return api.put(f"/api/v0/asks/{number}/", json={**BODY, **body})


def show(api: httpx.Client, number: int) -> dict[str, object]:
    row = api.get(f"/api/v0/instances/{number}/").json()["instances"]
    assert isinstance(row, dict)
    return row


def live(cloud: RunningCloud) -> int:
    return cloud.run(lambda c: sum(1 for _ in c.live()))


def order(admin: httpx.Client, kind: str, **details: object) -> None:
    admin.post("/faults", json={"kind": kind, **details}).raise_for_status()


@pytest.mark.parametrize(
    ("form", "status", "code"),
    [("404", 404, "no_such_ask"), ("404_legacy", 404, "invalid_args"), ("410", 410, "no_such_ask")],
)
def test_an_offer_vanishes(
    api: httpx.Client, admin: httpx.Client, cloud: RunningCloud, form: str, status: int, code: str
) -> None:
    before, offers = live(cloud), len(cloud.cloud.market.offers)
    order(admin, "offer_vanishes", form=form)
    answer = create(api)
    assert (answer.status_code, answer.json()["error"]) == (status, code)
    assert "no_such_ask" in answer.json()["error"] + answer.json()["msg"]
    assert live(cloud) == before
    assert len(cloud.cloud.market.offers) < offers


def test_an_offer_that_never_was_cannot_vanish(api: httpx.Client, admin: httpx.Client) -> None:
    order(admin, "offer_vanishes")
    assert api.put("/api/v0/asks/1/", json=BODY).status_code == 404


def test_resources_run_out(api: httpx.Client, admin: httpx.Client) -> None:
    order(admin, "resources_unavailable", times=2)
    assert create(api).status_code == 410
    answer = create(api, cancel_unavail=False).json()
    assert answer["success"] is False
    assert show(api, answer["new_contract"])["actual_status"] == "stopped"


def test_the_search_quota_is_spent(api: httpx.Client, admin: httpx.Client) -> None:
    order(admin, "rate_limited", on="search", form="search_quota", retry_after=1_800_000_000)
    answer = api.post("/api/v0/bundles/", json={})
    assert (answer.status_code, answer.json()["error"]) == (429, "search_quota_exceeded")
    assert answer.headers["X-RateLimit-Reset"] == "1800000000"


@pytest.mark.parametrize("form", ["text", "json", "retry_after"])
def test_rate_limited(
    api: httpx.Client, admin: httpx.Client, cloud: RunningCloud, form: str
) -> None:
    before = cloud.cloud.counters.refused["create"]
    order(admin, "rate_limited", on="create", form=form, retry_after=0.2)
    answer = create(api)
    assert answer.status_code == 429
    assert "too frequent" in answer.text
    assert answer.headers.get("Retry-After") == ("0.2" if form == "retry_after" else None)
    assert cloud.cloud.counters.refused["create"] == before + 1


@pytest.mark.parametrize(("when", "rented"), [("before", 0), ("after", 1)])
def test_server_errors(
    api: httpx.Client, admin: httpx.Client, cloud: RunningCloud, when: str, rented: int
) -> None:
    before = live(cloud)
    for status in (500, 502, 503, 504):
        order(admin, "server_error", on="create", status=status, when=when)
        assert create(api).status_code == status
    assert live(cloud) - before == 4 * rented


def test_replies_and_requests_get_lost(
    api: httpx.Client, admin: httpx.Client, cloud: RunningCloud
) -> None:
    before = live(cloud)
    order(admin, "lost_reply", on="create")
    with pytest.raises(httpx.TransportError):
        create(api)
    assert live(cloud) == before + 1
    order(admin, "never_received", on="create")
    with pytest.raises(httpx.TransportError):
        create(api)
    assert live(cloud) == before + 1
    assert create(api).status_code == 200


def test_a_key_that_looks_gone(api: httpx.Client, admin: httpx.Client) -> None:
    order(admin, "auth_as_404", on="list")
    answer = api.get("/api/v1/instances/")
    assert (answer.status_code, answer.json()["error"]) == (404, "auth_error")
    assert api.get("/api/v1/instances/").status_code == 200


def test_slow_answers(api: httpx.Client, admin: httpx.Client) -> None:
    order(admin, "slow", on="user", seconds=5)
    with pytest.raises(httpx.ReadTimeout):
        api.get("/api/v0/users/current", timeout=0.1)
    assert api.get("/api/v0/users/current", timeout=5).status_code == 200


def test_boots_that_fail(api: httpx.Client, admin: httpx.Client, cloud: RunningCloud) -> None:
    order(admin, "stuck_loading")
    stuck = create(api).json()["new_contract"]
    order(admin, "boot_error")
    broken = create(api).json()["new_contract"]
    order(admin, "boot_error", message="no such image")
    unpulled = create(api).json()["new_contract"]
    cloud.run(lambda c: c.clock.advance(3600))
    assert show(api, stuck)["actual_status"] == "loading"
    assert show(api, broken)["actual_status"] == "created"
    assert "OCI runtime create failed" in str(show(api, broken)["status_msg"])
    assert show(api, unpulled)["status_msg"] == "no such image"


def test_a_listing_may_lag(api: httpx.Client, admin: httpx.Client) -> None:
    order(admin, "list_lag", seconds=60)
    number = create(api, label="late").json()["new_contract"]
    query = {"select_filters": '{"label": {"eq": "late"}}'}
    assert api.get("/api/v1/instances/", params=query).json()["instances"] == []
    assert show(api, number)["label"] == "late"
    admin.post("/clock", json={"advance": 60})
    assert len(api.get("/api/v1/instances/", params=query).json()["instances"]) == 1


def test_faults_are_listed_and_cancelled(api: httpx.Client, admin: httpx.Client) -> None:
    order(admin, "server_error", on="any", times=3)
    assert [fault["kind"] for fault in admin.get("/state").json()["faults"]] == ["server_error"]
    admin.delete("/faults").raise_for_status()
    assert api.get("/api/v0/users/current").status_code == 200
    assert admin.post("/faults", json={"kind": "gremlins"}).status_code == 400


@pytest.mark.parametrize(
    ("fate", "status", "serves"),
    [
        ("die", "running", False),
        ("exit", "exited", False),
        ("offline", "offline", False),
        ("outbid", "stopped", False),
        ("finish_boot", "running", True),
    ],
)
def test_fates(
    api: httpx.Client,
    admin: httpx.Client,
    cloud: RunningCloud,
    *,
    fate: str,
    status: str,
    serves: bool,
) -> None:
    number = create(api).json()["new_contract"]
    admin.post(f"/instances/{number}/finish_boot").raise_for_status()
    assert httpx.get(cloud.endpoint(number)).text == "Ollama is running"
    admin.post(f"/instances/{number}/{fate}").raise_for_status()
    assert show(api, number)["actual_status"] == status
    if serves:
        assert httpx.get(cloud.endpoint(number)).status_code == 200
    else:
        with pytest.raises(httpx.ConnectError):
            httpx.get(cloud.endpoint(number))


def test_vanished_instances_are_gone(api: httpx.Client, admin: httpx.Client) -> None:
    number = create(api).json()["new_contract"]
    admin.post(f"/instances/{number}/vanish").raise_for_status()
    assert api.get(f"/api/v0/instances/{number}/").json() == {"instances": None}
    assert admin.post(f"/instances/{number}/vanish").status_code == 404


class Callers:
    """Several creates at once, each in a thread."""

    def __init__(self, api: httpx.Client, pool: ThreadPoolExecutor) -> None:
        self.api = api
        self.pool = pool

    def start(self, count: int) -> list[Future[httpx.Response]]:
        rows = self.api.post("/api/v0/bundles/", json={"num_gpus": {"eq": 1}, "limit": count})
        paths = [f"/api/v0/asks/{row['id']}/" for row in rows.json()["offers"]]
        return [self.pool.submit(self.api.put, path, json=BODY) for path in paths]


@pytest.mark.parametrize(("point", "rented"), [("received", 0), ("accepted", 3)])
def test_holding_several_calls(
    *,
    api: httpx.Client,
    admin: httpx.Client,
    cloud: RunningCloud,
    eventually: Poll,
    point: str,
    rented: int,
) -> None:
    before = live(cloud)
    admin.post("/hold", json={"on": "create", "point": point, "skip": 1}).raise_for_status()
    assert create(api).status_code == 200
    with ThreadPoolExecutor(3) as pool:
        calls = Callers(api, pool).start(3)
        eventually(lambda: [h["waiting"] for h in admin.get("/held").json()["held"]] == [3])
        assert live(cloud) - before == 1 + rented
        assert not any(call.done() for call in calls)
        assert admin.post("/release", json={"on": "search"}).json() == {"released": 0}
        assert admin.post("/release", json={}).json() == {"released": 3}
        assert [call.result(10).status_code for call in calls] == [200] * 3
    assert live(cloud) - before == 4
    assert admin.get("/held").json() == {"held": []}


@pytest.mark.parametrize(("point", "rented"), [("received", 0), ("accepted", 1)])
def test_held_calls_can_be_dropped(
    *,
    api: httpx.Client,
    admin: httpx.Client,
    cloud: RunningCloud,
    eventually: Poll,
    point: str,
    rented: int,
) -> None:
    before = live(cloud)
    admin.post("/hold", json={"point": point}).raise_for_status()
    with ThreadPoolExecutor(1) as pool:
        [call] = Callers(api, pool).start(1)
        eventually(lambda: [h["waiting"] for h in admin.get("/held").json()["held"]] == [1])
        admin.post("/release", json={"drop": True}).raise_for_status()
        with pytest.raises(httpx.TransportError):
            call.result(10)
    assert live(cloud) - before == rented


@pytest.mark.parametrize("body", [{"on": 3}, {"point": "answered"}, {"skip": "x"}])
def test_bad_holds_are_refused(admin: httpx.Client, body: dict[str, object]) -> None:
    assert admin.post("/hold", json=body).status_code == 400


def test_closing_cuts_what_is_held_and_leaves_no_thread(eventually: Poll) -> None:
    threads = threading.active_count()
    with ThreadPoolExecutor(1) as pool:
        with running_cloud() as cloud:
            httpx.post(f"{cloud.admin_url}/hold", json={"on": "user"}).raise_for_status()
            call = pool.submit(httpx.get, f"{cloud.url}/api/v0/users/current?api_key=x", timeout=20)
            held = f"{cloud.admin_url}/held"
            eventually(lambda: httpx.get(held).json()["held"][0]["waiting"] == 1)
        with pytest.raises(httpx.TransportError):
            call.result(10)
    assert threading.active_count() == threads
