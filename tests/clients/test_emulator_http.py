"""The emulator by plain HTTP: transport rules, keys, limits, and routes no vendor client shows."""

import json
import time
from collections.abc import Callable, Iterator
from decimal import Decimal

import httpx
import pytest

from localcloud.vastai.server import RunningCloud, running_cloud

Poll = Callable[[Callable[[], bool]], None]
BODY = {"image": "a:1", "disk": 10}


@pytest.fixture(autouse=True)
def tidy(api: httpx.Client) -> Iterator[None]:
    yield
    while ids := [row["id"] for row in api.get("/api/v1/instances/").json()["instances"]]:
        api.request("DELETE", "/api/v0/instances/", json={"instance_ids": ids}).raise_for_status()


def offer(api: httpx.Client, **query: object) -> int:
    # Not the best offers: other modules' searches take those.
    query = {"num_gpus": {"eq": 1}, "direct_port_count": {"gte": 3}, "limit": 1, **query}
    return int(api.post("/api/v0/bundles/", json=query).json()["offers"][0]["id"])


def create(api: httpx.Client, **body: object) -> int:
    answer = api.put(f"/api/v0/asks/{offer(api)}/", json={**BODY, **body})
    return int(answer.json()["new_contract"])


def show(api: httpx.Client, number: int) -> dict[str, object]:
    row = api.get(f"/api/v0/instances/{number}/").json()["instances"]
    assert isinstance(row, dict)
    return row


@pytest.mark.parametrize("path", ["/api/v0/users/current", "/api/v0/users/current/"])
def test_both_forms_of_a_path_and_the_exact_content_type(api: httpx.Client, path: str) -> None:
    answer = api.get(path)
    assert answer.headers["content-type"] == "application/json"
    assert answer.json()["username"] == "renter"


def test_keys(cloud: RunningCloud, api: httpx.Client) -> None:
    path = f"{cloud.url}/api/v0/users/current"
    assert httpx.get(path, params={"api_key": "local-clients"}).status_code == 200
    for headers in ({}, {"Authorization": "Bearer wrong"}):
        refused = httpx.get(path, headers=headers)
        assert (refused.status_code, refused.json()["error"]) == (401, "auth_error")
    assert httpx.get(f"{cloud.url}/api/v0/bundles/").status_code == 200
    assert "RTX 4090" in httpx.get(f"{cloud.url}/api/v0/gpu_names/unique/").json()["gpu_names"]
    assert api.get("/api/v0/nowhere").status_code == 404


def test_the_search_forms_agree(api: httpx.Client) -> None:
    query = {"num_gpus": {"eq": 2}, "limit": 3, "order": [["id", "asc"]]}
    posted = [row["id"] for row in api.post("/api/v0/bundles", json=query).json()["offers"]]
    got = api.get("/api/v0/bundles/", params={"q": json.dumps(query), "select_cols": '["id"]'})
    put = api.put("/api/v0/search/asks/", json={"select_cols": ["*"], "q": query})
    assert got.json()["offers"] == [{"id": number} for number in posted]
    assert [row["id"] for row in put.json()["offers"]] == posted
    assert api.get("/api/v0/bundles/", params={"q": "{"}).status_code == 400


@pytest.mark.parametrize("content", [b"{", b"[]", b'"x"'])
def test_bodies_must_be_objects(api: httpx.Client, content: bytes) -> None:
    answer = api.put("/api/v0/asks/1/", content=content)
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_args")


def test_create_and_its_refusals(api: httpx.Client) -> None:
    number = offer(api)
    low = api.put(f"/api/v0/asks/{number}/", json={**BODY, "price": 0.001})
    assert (low.status_code, low.json()["error"]) == (400, "invalid_price")
    assert api.put("/api/v0/asks/x/", json=BODY).status_code == 400
    unknown = api.put("/api/v0/asks/1/", json=BODY)
    assert (unknown.status_code, unknown.json()["error"]) == (404, "no_such_ask")
    assert unknown.json()["ask_id"] == 1
    stopped = api.put(f"/api/v0/asks/{number}/", json={**BODY, "target_state": "stopped"}).json()
    assert stopped["success"] is False
    assert show(api, stopped["new_contract"])["actual_status"] == "stopped"


def test_bulk_create(api: httpx.Client) -> None:
    rows = api.post("/api/v0/bundles/", json={"num_gpus": {"eq": 1}, "limit": 2}).json()["offers"]
    ids = [*(row["id"] for row in rows), 1]
    answer = api.post("/api/v0/asks/bulk/", json={**BODY, "ids": ids}).json()
    assert (answer["success"], len(answer["created"]), answer["failed"]) == (False, 2, [1])
    assert [row["ask_id"] for row in answer["results"]] == ids
    assert api.post("/api/v0/asks/bulk/", json={**BODY, "ids": []}).status_code == 400


def test_launch(api: httpx.Client) -> None:
    made = api.put("/api/v0/launch_instance/", json={**BODY, "q": {"num_gpus": {"eq": 1}}}).json()
    assert made["success"] is True
    none = api.put("/api/v0/launch_instance/", json={**BODY, "q": {"num_gpus": {"eq": 3}}})
    assert (none.status_code, none.json()["error"]) == (200, "offer_not_found")


def test_lists_that_do_not_list(api: httpx.Client) -> None:
    old = api.get("/api/v0/instances/", params={"owner": "me"})
    assert (old.status_code, old.json()["error"]) == (410, "deprecated_endpoint")
    assert api.get("/api/v1/instances/lite/").status_code == 404


def test_bulk_changes(api: httpx.Client) -> None:
    ids = [create(api), create(api)]
    stop = {"state": "stopped", "ids": [*ids, 1]}
    assert api.put("/api/v0/instances/", json=stop).json() == {"success": True}
    assert [show(api, number)["actual_status"] for number in ids] == ["stopped"] * 2
    assert api.put("/api/v0/instances/", json={**stop, "ids": [1]}).status_code == 404
    many = api.request("DELETE", "/api/v0/instances/", json={"instance_ids": list(range(65))})
    assert many.status_code == 400
    gone = api.request("DELETE", "/api/v0/instances/1/", json={})
    assert (gone.status_code, gone.json()["error"]) == (404, "no_such_instance")


def test_what_only_some_may(api: httpx.Client) -> None:
    number = create(api)
    path = f"/api/v0/instances/command/{number}/"
    assert api.put(path, json={"command": "ls"}).status_code == 400
    api.put(f"/api/v0/instances/{number}/", json={"state": "stopped"})
    assert api.put(path, json={"command": "reboot"}).status_code == 400
    url = api.put(path, json={"command": "ls"}).json()["result_url"]
    assert [httpx.get(url).status_code for _ in range(2)] == [403, 200]
    assert httpx.get(url + "x").status_code == 404
    assert api.put(f"/api/v0/instances/recycle/{number}/").json()["error"] == "invalid_id"


def test_ssh_key_errors(api: httpx.Client) -> None:
    number = create(api)
    key = api.post("/api/v0/ssh/", json={"ssh_key": "ssh-rsa AAAA"}).json()["key"]
    changed = api.put(f"/api/v0/ssh/{key['id']}/", json={"ssh_key": "ssh-rsa BBBB"}).json()
    assert changed["key"]["public_key"] == "ssh-rsa BBBB"
    assert api.get("/api/v0/users/current").json()["ssh_key"] == "ssh-rsa BBBB"
    api.post(f"/api/v0/instances/{number}/ssh/", json={"ssh_key": "ssh-rsa CCCC"})
    assert len(api.get(f"/api/v0/instances/{number}/ssh/").json()["ssh_keys"]) == 1
    assert api.delete(f"/api/v0/instances/{number}/ssh/999/").status_code == 404
    api.delete(f"/api/v0/ssh/{key['id']}/").raise_for_status()


def test_volumes(api: httpx.Client) -> None:
    ask = api.post("/api/v0/volumes/search/", json={}).json()["offers"][0]["id"]
    assert api.put("/api/v0/volumes/", json={"id": 1, "size": 10}).status_code == 404
    assert api.put("/api/v0/volumes/", json={"id": ask, "size": 0}).status_code == 400
    name = api.put("/api/v0/volumes/", json={"id": ask, "size": 10, "name": "data"}).json()
    number = name["volume_name"].removeprefix("V.")
    create(api, env={f"-v V.{number}:/mnt": "1"})
    used = api.request("DELETE", "/api/v0/volumes/", params={"id": number}, json={})
    assert used.status_code == 409
    assert api.request("DELETE", "/api/v0/volumes/?id=1", json={}).status_code == 404


def test_a_page_of_instances(api: httpx.Client) -> None:
    create(api, label="one")
    create(api, label="two")
    only = api.get("/api/v1/instances", params={"select_filters": '{"label": {"eq": "two"}}'})
    [row] = only.json()["instances"]
    assert (row["label"], only.json()["label_counts"]) == ("two", {"one": 1, "two": 1})
    assert row["extra_env"] == []
    assert isinstance(row["start_date"], float)


def test_machines_without_direct_ports_have_none(api: httpx.Client, eventually: Poll) -> None:
    number = api.put(
        f"/api/v0/asks/{offer(api, direct_port_count={'eq': 0})}/",
        json={**BODY, "env": {"-p 80:80/udp": "1"}},
    ).json()["new_contract"]
    eventually(lambda: show(api, number)["actual_status"] == "running")
    assert "ports" not in show(api, number)


def test_rate_limits_count_what_they_refuse(
    api: httpx.Client, admin: httpx.Client, cloud: RunningCloud
) -> None:
    for form in ("text", "json", "retry_after"):
        admin.post("/limits", json={"enabled": True, "form": form}).raise_for_status()
        before = cloud.cloud.counters.refused["list_old"]
        # The endpoint with the longest interval: two calls come within it on any machine.
        answers = [api.get("/api/v0/instances/") for _ in range(2)]
        assert [answer.status_code for answer in answers] == [410, 429]
        assert cloud.cloud.counters.refused["list_old"] == before + 1
        if form == "text":
            assert answers[1].text == "API requests too frequent: endpoint threshold=20.0"
        if form == "json":
            assert "too frequent" in answers[1].json()["detail"]
        if form == "retry_after":
            assert 0 < float(answers[1].headers["Retry-After"]) <= 20
            assert answers[1].json()["error"] == "HTTPTooManyRequests"
    assert admin.post("/limits", json={"form": "smoke"}).status_code == 400


def test_a_bill_to_the_cent(api: httpx.Client, admin: httpx.Client, cloud: RunningCloud) -> None:
    number = create(api)
    admin.post(f"/instances/{number}/finish_boot").raise_for_status()
    admin.post("/clock", json={"advance": 36_000}).raise_for_status()
    api.request("DELETE", f"/api/v0/instances/{number}/", json={})
    state = admin.get("/state").json()
    [row] = [row for row in state["rentals"] if row["id"] == number]
    hourly = Decimal(row["gpu_rate_micros"] + row["storage_rate_micros"]) / 1_000_000
    assert Decimal(row["bill"]) == pytest.approx(hourly * 10, rel=Decimal("1e-3"))
    rounding = Decimal("2e-12")
    parts = Decimal(row["gpu_bill"]) + Decimal(row["storage_bill"])
    assert abs(Decimal(row["bill"]) - parts) <= rounding
    assert abs(Decimal(state["total_bill"]) + Decimal(state["credit"]) - 1000) <= rounding
    assert row["live"] is False
    assert admin.post("/clock", json={"advance": -1}).status_code == 400
    assert cloud.run(lambda c: c.bill()) > 0


def test_credit_can_run_out(api: httpx.Client, admin: httpx.Client) -> None:
    number = create(api)
    left = admin.post("/credit", json={"credit": 0}).json()["credit"]
    assert Decimal(left) <= 0
    assert show(api, number)["actual_status"] == "stopped"
    answer = api.put(f"/api/v0/instances/{number}/", json={"state": "running"})
    assert (answer.status_code, answer.json()["error"]) == (400, "missing_billing")
    admin.post("/credit", json={"credit": 1000}).raise_for_status()


def test_events_tell_the_story(api: httpx.Client, admin: httpx.Client) -> None:
    start = admin.get("/events").json()["next"]
    number = create(api, label="story")
    admin.post(f"/instances/{number}/exit").raise_for_status()
    api.request("DELETE", f"/api/v0/instances/{number}/", json={})
    events = admin.get("/events", params={"since": start}).json()["events"]
    assert [event["event"] for event in events if event["event"] != "status"] == [
        "search",
        "rented",
        "exit",
        "destroyed",
    ]
    assert admin.get("/events?since=x").status_code == 400


def test_a_slow_create_is_accepted_before_it_is_answered() -> None:
    with running_cloud(boot_seconds=0.0, create_seconds=0.3, bad_key_status=404, key="k") as cloud:
        with httpx.Client(base_url=cloud.url, headers={"Authorization": "Bearer k"}) as api:
            number = offer(api)
            began = time.monotonic()
            api.put(f"/api/v0/asks/{number}/", json=BODY).raise_for_status()
            assert time.monotonic() - began >= 0.3
        bad = httpx.get(f"{cloud.url}/api/v0/users/current?api_key=wrong")
        assert (bad.status_code, bad.json()["error"]) == (404, "auth_error")
