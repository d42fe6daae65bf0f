"""Rented machines as their users see them, and the emulator as a command."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from localcloud.serving import listen
from localcloud.vastai.cloud import Cloud
from localcloud.vastai.machines.addresses import Addresses
from localcloud.vastai.rentals.rental import Order
from localcloud.vastai.server import Emulator, RunningCloud, running_cloud
from localcloud.vastai.settings import Settings, random_first_id

Poll = Callable[[Callable[[], bool]], None]
ROOT = Path(__file__).parents[2]
ENV = (("OLLAMA_MODELS_PULL", "llama3,qwen3:8b"),)


def rent(cloud: Cloud, count: int) -> list[int]:
    offers = [offer.id for offer in cloud.market.offers.values() if offer.gpus == 1][:count]
    return [cloud.rent(offer, Order(image="a:1", env=ENV)).id for offer in offers]


def test_a_machine_is_an_ollama(cloud: RunningCloud, eventually: Poll) -> None:
    [number] = cloud.run(lambda c: rent(c, 1))
    with pytest.raises(httpx.ConnectError):
        httpx.get(cloud.endpoint(number))
    eventually(lambda: cloud.cloud.rentals[number].serves)
    octets = f"{number // 256 % 256}.{number % 256}"
    assert cloud.endpoint(number) == cloud.endpoint_template.format(
        id=number, octets=octets, port=0
    )
    with httpx.Client(base_url=cloud.endpoint(number)) as machine:
        assert machine.get("/").text == "Ollama is running"
        assert machine.head("/").status_code == 200
        assert "version" in machine.get("/api/version").json()
        names = [model["name"] for model in machine.get("/api/tags").json()["models"]]
        assert names == ["llama3:latest", "qwen3:8b"]
        with machine.stream("POST", "/api/generate", json={"model": "llama3"}) as answer:
            lines = [json.loads(line) for line in answer.iter_lines()]
        assert [line["done"] for line in lines] == [False] * (len(lines) - 1) + [True]
        whole = machine.post("/api/generate", json={"model": "llama3", "stream": False}).json()
        assert whole["response"] == "".join(line["response"] for line in lines)
        assert [model["name"] for model in machine.get("/api/ps").json()["models"]] == names[:1]
        assert machine.get("/x").status_code == 404
        # The open connection does not outlive the machine.
        cloud.run(lambda c: c.destroy(c.get(number)))
        with pytest.raises(httpx.TransportError):
            machine.get("/")


def test_a_hundred_machines_at_once() -> None:
    with running_cloud(boot_seconds=0.0) as cloud:
        numbers = cloud.run(lambda c: rent(c, 100))
        cloud.run(lambda _: None)
        with ThreadPoolExecutor(8) as pool, httpx.Client() as client:
            answers = list(pool.map(lambda n: client.get(cloud.endpoint(n)).status_code, numbers))
        assert answers == [200] * 100


def test_computers_without_loopback_addresses_use_ports(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "localcloud.vastai.server.available_addresses", lambda: Addresses(by_port=True)
    )
    with running_cloud(boot_seconds=0.0) as cloud:
        [number] = cloud.run(lambda c: rent(c, 1))
        cloud.run(lambda _: None)
        assert cloud.machines == "ports"
        assert cloud.endpoint(number) == f"http://127.0.0.1:{20_000 + number % 12_000}"
        assert httpx.get(cloud.endpoint(number)).status_code == 200


def test_an_address_in_use_is_told_and_harms_nothing_else() -> None:
    first = random_first_id()
    with running_cloud(boot_seconds=0.0, first_id=first) as one:
        one.run(lambda c: rent(c, 1))
        one.run(lambda _: None)
        with running_cloud(boot_seconds=0.0, first_id=first) as other:
            numbers = other.run(lambda c: rent(c, 2))
            other.run(lambda _: None)
            events = [event["event"] for event in other.cloud.log.since(0)]
            assert events.count("machine_unreachable") == 1
            assert httpx.get(other.endpoint(numbers[1])).status_code == 200


@pytest.fixture
def command() -> Iterator[subprocess.Popen[str]]:
    arguments = ("--port", "0", "--boot-seconds", "0", "--offers", "8", "--time-scale", "60")
    with subprocess.Popen(
        [sys.executable, "-m", "localcloud.vastai", *arguments],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "LOCALCLOUD_VAST_KEY": "local-command"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        yield process
        process.kill()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_command_serves_until_told_to_stop(
    command: subprocess.Popen[str], number: signal.Signals
) -> None:
    assert command.stdout is not None
    assert command.stderr is not None
    line = json.loads(command.stdout.readline())
    assert set(line) == {"url", "admin_url", "endpoint_template", "machines"}
    headers = {"Authorization": "Bearer local-command"}
    with httpx.Client(base_url=line["url"], headers=headers) as api:
        offer = api.post("/api/v0/bundles/", json={"limit": 1}).json()["offers"][0]["id"]
        made = api.put(f"/api/v0/asks/{offer}/", json={"image": "a:1"}).json()["new_contract"]
        row = api.get(f"/api/v0/instances/{made}/").json()["instances"]
        assert row["actual_status"] == "running"
    endpoint = f"http://{row['public_ipaddr']}:11434"
    if line["machines"] == "addresses":
        assert httpx.get(endpoint).status_code == 200
    command.send_signal(number)
    assert command.wait(10) == 0
    assert command.stdout.read() + command.stderr.read() == ""
    with pytest.raises(httpx.ConnectError):
        httpx.get(endpoint)


def test_stopping_before_the_start_is_over_closes_everything() -> None:
    sock, _ = listen(0)
    told: list[str] = []
    with sock:
        emulator = Emulator(Settings(offers=4), sock, Addresses(by_port=True))
        emulator.stop()
        asyncio.run(emulator.serve(lambda: told.append("ready")))
    assert told == []


def test_bad_settings_are_the_caller_s_error() -> None:
    with pytest.raises(ValueError, match="time scale"), running_cloud(time_scale=0.0):
        pass


def test_a_port_in_use_is_an_error() -> None:
    with running_cloud() as cloud:
        port = int(cloud.url.rsplit(":", 1)[1])
        with pytest.raises(OSError, match="in use"):
            listen(port)


def test_the_command_explains_itself() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "localcloud.vastai", "--help"],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "--time-scale" in done.stdout
    assert "LOCALCLOUD_VAST_KEY" in done.stdout
