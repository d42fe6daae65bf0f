"""The router with a real Redis, the real client, and the emulator's real machines."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest
import redis

from localcloud.redis.running import running_redis
from localcloud.router.server import running_router
from localcloud.vastai.cloud import Cloud
from localcloud.vastai.rentals.lifecycle import befall
from localcloud.vastai.rentals.rental import Order
from localcloud.vastai.server import RunningCloud, running_cloud
from providers import agent_router
from providers.agent_router import Registration, RouterError
from tests.ports import free_port

Json = dict[str, object]
ROOT = Path(__file__).parents[2]
DEADLINE_SECONDS = 60.0
ENV = (("AGENT_DOCKER_MODELS", "llama3.2"),)


def eventually(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"not within {DEADLINE_SECONDS:g} s"
        time.sleep(0.005)


@pytest.fixture(scope="module", params=["installed", "embedded"])
def redis_url(request: pytest.FixtureRequest) -> Iterator[str]:
    if request.param == "installed" and shutil.which("redis-server") is None:
        assert not os.environ.get("CI"), "CI must have a redis-server"
        pytest.skip("there is no redis-server")
    with running_redis(*(["--embedded"] if request.param == "embedded" else [])) as running:
        yield running.url


@pytest.fixture
def queue(redis_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_url, decode_responses=True) as client:
        yield client
        client.flushall()


@pytest.fixture(scope="module")
def cloud() -> Iterator[RunningCloud]:
    with running_cloud(boot_seconds=0.0, work_seconds=0.02, parallel=4) as running:
        yield running


def rented(cloud: RunningCloud, count: int) -> list[int]:
    def rent(state: Cloud) -> list[int]:
        offers = [offer.id for offer in state.market.offers.values() if offer.gpus == 1][:count]
        return [state.rent(offer, Order(image="a:1", env=ENV)).id for offer in offers]

    numbers = cloud.run(rent)
    cloud.run(lambda _: None)
    return numbers


def push(client: redis.Redis, first: int, count: int) -> None:
    for number in range(first, first + count):
        client.lpush("inference", json.dumps({"id": str(number), "at": number, "prompt": "why"}))


@dataclass
class Watch:
    """A router as its users see it."""

    url: str
    admin_url: str
    http: httpx.Client = field(default_factory=lambda: httpx.Client(timeout=20))

    def register(self, endpoint: str) -> None:
        agent_router.register(
            self.url,
            Registration(
                endpoint=endpoint, models=["llama3.2"], gpu_type="RTX 4090", cost_per_hour=0.4
            ),
        )

    def rows(self) -> dict[str, Json]:
        return {str(row["endpoint"]): row for row in agent_router.providers(self.url)}

    def state(self) -> Json:
        found: Json = self.http.get(f"{self.admin_url}/state").json()
        return found

    def done(self, count: int) -> Callable[[], bool]:
        return lambda: int(str(self.state()["done"])) >= count

    def listed(self, name: str) -> list[Json]:
        found: list[Json] = self.http.get(f"{self.admin_url}/{name}").json()[name]
        return found


@contextmanager
def watched(url: str, admin_url: str) -> Iterator[Watch]:
    watch = Watch(url, admin_url)
    with watch.http:
        yield watch


def handed_out_after_deregistration(events: list[Json]) -> list[Json]:
    gone: set[object] = set()
    found: list[Json] = []
    for event in events:
        if event["event"] == "deregistered":
            gone.add(event["endpoint"])
        elif event["event"] == "registered":
            gone.discard(event["endpoint"])
        elif event["event"] == "dispatch" and event["endpoint"] in gone:
            found.append(event)
    return found


def test_two_hundred_jobs_while_machines_come_drain_and_die(
    redis_url: str, queue: redis.Redis, cloud: RunningCloud
) -> None:
    numbers = rented(cloud, 4)
    first, second, third, fourth = (cloud.endpoint(number) for number in numbers)
    push(queue, 0, 100)
    queue.lpush("inference", b"\xff is no job")
    push(queue, 100, 100)
    with running_router(redis_url) as running, watched(running.url, running.admin_url) as router:
        assert router.state()["waiting"] == 201
        for endpoint in (first, second):
            router.register(endpoint)
        eventually(router.done(30))
        # One is drained, as `agent-docker gpu drain` does it, and then destroyed.
        agent_router.deregister(router.url, first)
        eventually(lambda: not router.rows().get(first, {}).get("in_flight"))
        cloud.run(lambda c: c.destroy(c.get(numbers[0])))
        router.register(third)
        eventually(router.done(70))
        # One dies with work in its hands, registered as it is.
        cloud.run(lambda c: befall(c, c.get(numbers[1]), "die"))
        eventually(router.done(100))
        agent_router.deregister(router.url, second)
        # The router loses its memory; whoever keeps the table heals it.
        router.http.post(f"{router.admin_url}/forget").raise_for_status()
        assert router.rows() == {}
        for endpoint in (third, fourth):
            router.register(endpoint)
        eventually(router.done(200))
        state, jobs, events = router.state(), router.listed("jobs"), router.listed("events")
    assert {name: state[name] for name in ("waiting", "in_flight", "done", "lost")} == {
        "waiting": 0,
        "in_flight": 0,
        "done": 200,
        "lost": 0,
    }
    assert sorted(int(str(job["id"])) for job in jobs) == list(range(200))
    assert state["handed_to_draining"] == 0
    assert handed_out_after_deregistration(events) == []
    assert state["retried"] == sum(int(str(job["tries"])) - 1 for job in jobs)
    assert {str(job["endpoint"]) for job in jobs} == {first, second, third, fourth}
    assert state["rejected"] == 1
    assert all(float(str(job["started_at"])) <= float(str(job["done_at"])) for job in jobs)
    with redis.Redis.from_url(redis_url) as plain:
        assert plain.keys("*") == [b"inference:rejected"]
        assert plain.lrange("inference:rejected", 0, -1) == [b"\xff is no job"]


def test_machines_get_no_more_than_they_may(
    redis_url: str, queue: redis.Redis, cloud: RunningCloud
) -> None:
    endpoint = cloud.endpoint(rented(cloud, 1)[0])
    push(queue, 0, 30)
    with (
        running_router(redis_url, parallel=3) as running,
        watched(running.url, running.admin_url) as router,
    ):
        router.register(endpoint)
        seen: list[tuple[object, object]] = []
        while not router.done(30)():
            row = router.rows()[endpoint]
            seen.append((row["in_flight"], row["utilization"]))
    assert max(int(str(in_flight)) for in_flight, _ in seen) <= 3
    assert all(used == int(str(in_flight)) / 3 for in_flight, used in seen)


@contextmanager
def command(redis_url: str) -> Iterator[tuple[subprocess.Popen[str], Watch]]:
    with subprocess.Popen(
        [sys.executable, "-m", "localcloud.router", "--port", "0", "--queue", "inference"],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "REDIS_URL": redis_url},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            line = json.loads(process.stdout.readline())
            assert set(line) == {"url", "admin_url"}
            with watched(line["url"], line["admin_url"]) as watch:
                yield process, watch
        finally:
            process.kill()


def waiting_ids(client: redis.Redis) -> list[str]:
    raws = [*client.lrange("inference", 0, -1), *client.lrange("inference:processing", 0, -1)]
    return sorted(json.loads(raw)["id"] for raw in raws)


def test_what_a_killed_router_had_in_its_hands_is_done_by_the_next(
    redis_url: str, queue: redis.Redis, cloud: RunningCloud
) -> None:
    endpoint = cloud.endpoint(rented(cloud, 1)[0])
    push(queue, 0, 80)
    with command(redis_url) as (process, router):
        router.register(endpoint)
        eventually(router.done(20))
        process.kill()
        process.wait(20)
    left = waiting_ids(queue)
    assert 0 < len(left) <= 60
    with command(redis_url) as (_, router):
        router.register(endpoint)
        eventually(router.done(len(left)))
        assert sorted(str(job["id"]) for job in router.listed("jobs")) == left
        assert router.state()["lost"] == 0
    assert queue.keys("*") == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_command_serves_until_told_to_stop_and_loses_nothing(
    redis_url: str, queue: redis.Redis, cloud: RunningCloud, number: signal.Signals
) -> None:
    endpoint = cloud.endpoint(rented(cloud, 1)[0])
    push(queue, 0, 60)
    with command(redis_url) as (process, router):
        router.register(endpoint)
        eventually(router.done(10))
        process.send_signal(number)
        assert process.wait(20) == 0
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.read() + process.stderr.read() == ""
    assert queue.llen("inference:processing") == 0
    left = waiting_ids(queue)
    assert len(left) == len(set(left)) <= 50
    # What is left is taken in the order in which it came.
    taken = [json.loads(raw)["id"] for raw in reversed(queue.lrange("inference", 0, -1))]
    assert taken[-1] == "59"


def test_redis_may_come_later_and_go_again(cloud: RunningCloud) -> None:
    endpoint = cloud.endpoint(rented(cloud, 1)[0])
    port = str(free_port())
    with (
        running_router(f"redis://127.0.0.1:{port}/0") as running,
        watched(running.url, running.admin_url) as router,
    ):
        health = f"{router.url}/healthz"
        assert router.http.get(health).status_code == 503
        router.register(endpoint)
        with running_redis("--embedded", "--port", port) as server:
            with redis.Redis.from_url(server.url) as client:
                push(client, 0, 20)
            eventually(router.done(20))
            assert router.http.get(health).json() == {"status": "ok", "redis": "ok", "waiting": 0}
        eventually(lambda: router.http.get(health).status_code == 503)
        assert list(router.rows()) == [endpoint]
        with running_redis("--embedded", "--port", port) as server:
            with redis.Redis.from_url(server.url) as client:
                push(client, 20, 20)
            eventually(router.done(40))
        assert router.state()["lost"] == 0


def test_a_queue_of_the_wrong_type_is_told_and_left_alone(
    redis_url: str, queue: redis.Redis, cloud: RunningCloud
) -> None:
    endpoint = cloud.endpoint(rented(cloud, 1)[0])
    queue.set("inference", "text")
    with running_router(redis_url) as running, watched(running.url, running.admin_url) as router:
        router.register(endpoint)
        assert "WRONGTYPE" in router.http.get(f"{router.url}/healthz").json()["redis"]
        assert queue.get("inference") == "text"
        queue.delete("inference")
        push(queue, 0, 3)
        eventually(router.done(3))


def test_the_real_client_sees_a_router_out_of_order(redis_url: str) -> None:
    with running_router(redis_url) as running, watched(running.url, running.admin_url) as router:
        agent_router.deregister(router.url, "http://127.64.0.1:11434")
        router.http.post(f"{router.admin_url}/down", json={"seconds": 3600}).raise_for_status()
        with pytest.raises(RouterError, match="503"):
            router.rows()
        with pytest.raises(RouterError, match="503"):
            router.register("http://127.64.0.1:11434")
        assert not agent_router.deregister_quietly(router.url, "http://127.64.0.1:11434")
        router.http.post(f"{router.admin_url}/up").raise_for_status()
        with pytest.raises(RouterError, match="422"):
            router.register("127.64.0.1:11434")
        assert router.rows() == {}


def test_a_port_in_use_is_an_error() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with (
            pytest.raises(OSError, match="in use"),
            running_router("redis://127.0.0.1:1", port=taken.getsockname()[1]),
        ):
            pass


def test_destroying_a_machine_cuts_what_it_works_on() -> None:
    with running_cloud(boot_seconds=0.0, work_seconds=3600.0, parallel=1) as cloud:
        [number] = rented(cloud, 1)
        host, _, port = cloud.endpoint(number).removeprefix("http://").partition(":")
        body = b'{"model": "llama3.2"}'
        head = f"POST /api/generate HTTP/1.1\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        calls = [socket.create_connection((host, int(port)), timeout=20) for _ in range(3)]
        for call in calls:
            call.sendall(head + body)
        # It still answers everything else: it works, and is not stuck.
        assert httpx.get(f"http://{host}:{port}/api/ps", timeout=20).is_success
        cloud.run(lambda c: c.destroy(c.get(number)))
        for call in calls:
            with call:
                assert call.recv(1) == b""
