"""The router's routes, without a server: the contract, the admin routes, faults."""

import asyncio
import json
from collections.abc import Awaitable, Callable

import httpx
import pytest

from localcloud.router.app import create_app
from localcloud.router.settings import Settings
from localcloud.router.state import Router

BODY = {
    "type": "ollama",
    "endpoint": "http://127.64.0.1:11434",
    "models": ["m"],
    "gpu_type": "RTX 4090",
    "cost_per_hour": 0.42,
}
# Nothing listens there: what the routes say must not need Redis.
NOWHERE = Settings(redis_url="redis://:secret@127.0.0.1:1/0")


def ask(story: Callable[[httpx.AsyncClient, Router], Awaitable[None]]) -> None:
    async def main() -> None:
        router = Router(NOWHERE)
        transport = httpx.ASGITransport(app=create_app(router))
        async with httpx.AsyncClient(transport=transport, base_url="http://router") as client:
            await story(client, router)
        await router.dispatcher.close()

    asyncio.run(main())


def test_the_contract() -> None:
    async def story(client: httpx.AsyncClient, _router: Router) -> None:
        made = await client.post("/api/providers", json=BODY)
        assert (made.status_code, made.json()) == (
            200,
            {"endpoint": BODY["endpoint"], "changed": True},
        )
        assert not (await client.post("/api/providers", json=BODY)).json()["changed"]
        listed = await client.get("/api/providers")
        row = {**BODY, "in_flight": 0, "utilization": 0.0, "draining": False}
        assert listed.json() == {"providers": [row]}
        there = {"endpoint": BODY["endpoint"]}
        gone = await client.delete("/api/providers", params=there)
        assert (gone.status_code, gone.json()) == (200, there)
        assert (await client.get("/api/providers")).json() == {"providers": []}
        assert (await client.delete("/api/providers", params=there)).status_code == 404

    ask(story)


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"\xff", json.dumps({**BODY, "endpoint": "x"}).encode()]
)
def test_bad_registrations_are_told_why(body: bytes) -> None:
    async def story(client: httpx.AsyncClient, _router: Router) -> None:
        answer = await client.post("/api/providers", content=body)
        assert answer.status_code == 422
        assert answer.json()["detail"][0]["msg"]

    ask(story)


def test_a_deregistration_names_its_endpoint() -> None:
    async def story(client: httpx.AsyncClient, _router: Router) -> None:
        assert (await client.delete("/api/providers")).status_code == 422

    ask(story)


def test_redis_away_is_told_and_stops_nothing_else() -> None:
    async def story(client: httpx.AsyncClient, _router: Router) -> None:
        health = await client.get("/healthz")
        assert health.status_code == 503
        assert health.json()["status"] == "degraded"
        assert "ConnectionError" in health.json()["redis"]
        assert "secret" not in health.text
        state = (await client.get("/_admin/state")).json()
        assert state.pop("redis").startswith("ConnectionError")
        assert state == {
            "waiting": None,
            "in_flight": 0,
            "done": 0,
            "retried": 0,
            "rejected": 0,
            "lost": 0,
            "handed_to_draining": 0,
            "providers": [],
        }
        assert (await client.post("/api/providers", json=BODY)).is_success

    ask(story)


def test_records_by_number() -> None:
    async def story(client: httpx.AsyncClient, _router: Router) -> None:
        await client.post("/api/providers", json=BODY)
        await client.delete("/api/providers", params={"endpoint": BODY["endpoint"]})
        told = (await client.get("/_admin/events")).json()
        assert [event["event"] for event in told["events"]] == ["registered", "deregistered"]
        assert told["next"] == 2
        later = (await client.get("/_admin/events", params={"since": 1})).json()["events"]
        assert [(event["n"], event["endpoint"]) for event in later] == [(1, BODY["endpoint"])]
        assert (await client.get("/_admin/jobs")).json() == {"jobs": [], "next": 0}
        assert (await client.get("/_admin/jobs", params={"since": "x"})).status_code == 422

    ask(story)


def test_a_router_may_lose_its_memory() -> None:
    async def story(client: httpx.AsyncClient, _router: Router) -> None:
        await client.post("/api/providers", json=BODY)
        assert (await client.post("/_admin/forget")).json() == {"forgotten": 1}
        assert (await client.get("/api/providers")).json() == {"providers": []}
        assert (await client.post("/api/providers", json=BODY)).json()["changed"]

    ask(story)


def test_a_router_may_be_out_of_order() -> None:
    async def story(client: httpx.AsyncClient, router: Router) -> None:
        assert (await client.post("/_admin/down")).json() == {"down": True}
        assert (await client.get("/api/providers")).status_code == 503
        assert (await client.post("/api/providers", json=BODY)).status_code == 503
        assert (await client.get("/healthz")).json()["status"] == "down"
        assert (await client.get("/_admin/state")).is_success
        assert (await client.post("/_admin/up")).json() == {"down": False}
        assert (await client.get("/api/providers")).is_success
        assert (await client.post("/_admin/down", json={"seconds": 3600})).is_success
        assert router.is_down
        assert (await client.post("/_admin/down", json={"seconds": 0})).is_success
        assert not router.is_down

    ask(story)


@pytest.mark.parametrize("body", ["{", "[]", '{"seconds": "x"}', '{"seconds": -1}'])
def test_a_fault_must_make_sense(body: str) -> None:
    async def story(client: httpx.AsyncClient, router: Router) -> None:
        assert (await client.post("/_admin/down", content=body)).status_code == 422
        assert not router.is_down

    ask(story)
