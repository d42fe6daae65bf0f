"""What the internet reaches, step by step: the real engine, an emulated Cloudflare, three services.

Each step begins where the one before it ended: an `up` costs seconds.
"""

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from operations.errors import Failed
from tests.docker.cloudflare_facts import Facts, expected, facts
from tests.docker.daemon import Docker
from tests.docker.nas_world import NasWorld, files_below, nas_world

SERVICES = ("cloudflared", "gitlab-webhook-server", "agent-mesh", "doc-engine")
DOCS = "docs.blueflyagents.com"


@pytest.fixture(scope="module")
def world(docker: Docker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[NasWorld]:
    folder = tmp_path_factory.mktemp("ingress")
    with nas_world(
        docker, folder, services=SERVICES, prefix="ingress-", address="127.66.0.2"
    ) as made:
        yield made


@pytest.fixture
def other(docker: Docker, tmp_path: Path) -> Iterator[NasWorld]:
    """Another stack, beside the story's."""
    chosen = ("cloudflared", "agent-mesh")
    with nas_world(
        docker, tmp_path, services=chosen, prefix="adopted-", address="127.66.0.3"
    ) as made:
        yield made


def now(world: NasWorld) -> Facts:
    return facts(world.cloudflare_state())


def api(world: NasWorld, method: str, path: str, body: object = None) -> Any:  # noqa: ANN401 - JSON
    answer = httpx.request(
        method,
        f"{world.cloudflare.url}/{path}",
        headers={"Authorization": f"Bearer {world.cloudflare.token}"},
        json=body,
        trust_env=False,
    )
    answer.raise_for_status()
    return answer.json()["result"]


def calls(world: NasWorld, since: int = 0) -> list[str]:
    """What was called, as `METHOD path`."""
    found = httpx.get(f"{world.cloudflare.admin_url}/calls", trust_env=False).json()["calls"]
    return [f"{row['method']} {row['path']}" for row in found[since:]]


def changing(told: list[str]) -> list[str]:
    return [call for call in told if not call.startswith("GET ")]


def tunnel_id(world: NasWorld) -> str:
    (found,) = now(world).tunnels
    return found


def foreign_record(world: NasWorld, content: str, **more: object) -> str:
    """A record of the host that somebody else made: its id."""
    record = {"type": "CNAME", "name": DOCS, "content": content, **more}
    world.admin("seed", {"records": [record]})
    rows = world.cloudflare_state()["records"].values()
    return next(str(row["id"]) for row in rows if row["name"] == DOCS)


def test_the_first_up_makes_what_the_settings_say_and_nothing_else(world: NasWorld) -> None:
    commands = set[str]()
    done = threading.Event()

    def watch() -> None:
        while not done.is_set():
            commands.update(" ".join(p.info["cmdline"] or ()) for p in processes())
            done.wait(0.05)

    def processes() -> Iterator[psutil.Process]:
        return psutil.process_iter(["cmdline"])

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        world.up()
    finally:
        done.set()
        watcher.join()
    assert now(world) == expected(world.settings, tunnel_id(world))
    assert len(now(world).rules) == 3
    for secret in told_once(world):
        assert not [command for command in commands if secret in command]


def told_once(world: NasWorld) -> list[str]:
    """Every secret of the ingress in clear."""
    account = f"accounts/{world.cloudflare.account_id}"
    token = api(world, "GET", f"{account}/cfd_tunnel/{tunnel_id(world)}/token")
    client = world.output("access-ci")
    assert len(client["secret"]) == 64
    return [token, client["secret"], world.cloudflare.token]


def test_no_secret_of_it_is_where_others_can_read_it(world: NasWorld) -> None:
    names = world.docker("ps", "--all", "--format", "{{.Names}}").split()
    inspected = "\n".join(json.dumps(world.docker.inspect(name)) for name in names)
    logs = "\n".join(world.docker("logs", one.name, ok=False) for one in world.seen().values())
    texts = dict(files_below(world.folder))
    assert any(path.name == "nas.json" for path in texts)
    for secret in told_once(world):
        assert secret not in inspected
        assert secret not in logs
        assert not [text for text in world.said if secret in text]
        assert not [path for path, text in texts.items() if secret in text]


def test_a_second_up_only_reads(world: NasWorld) -> None:
    before = len(calls(world))
    assert world.up() == ()
    assert changing(calls(world, before)) == []


def test_a_host_more_is_a_rule_a_name_and_a_guard(world: NasWorld) -> None:
    records, containers = set(world.cloudflare_state()["records"]), world.ids()
    world.service("doc-engine")["host"] = "docs"
    world.up()
    found = now(world)
    assert found == expected(world.settings, tunnel_id(world))
    assert DOCS in found.records
    assert DOCS in found.applications
    assert records < set(world.cloudflare_state()["records"])
    assert world.ids() == containers


def test_a_public_host_has_no_guard(world: NasWorld) -> None:
    world.service("doc-engine")["host"] = {"name": "docs", "public": True}
    before = len(calls(world))
    world.up()
    found = now(world)
    assert found == expected(world.settings, tunnel_id(world))
    assert DOCS not in found.applications
    assert [call.split()[0] for call in changing(calls(world, before))] == ["DELETE"]


def test_a_host_less_leaves_nothing(world: NasWorld) -> None:
    del world.service("doc-engine")["host"]
    world.up()
    found = now(world)
    assert found == expected(world.settings, tunnel_id(world))
    assert DOCS not in found.records


def test_a_foreign_record_is_left_alone_and_named(world: NasWorld) -> None:
    foreign = foreign_record(world, "elsewhere.example.com")
    world.service("doc-engine")["host"] = "docs"
    with pytest.raises(Failed) as error:
        world.up()
    assert DOCS in error.value.message
    assert "already exists" in error.value.message
    assert len(error.value.message.splitlines()) == 1
    assert "ingress.records" in (error.value.hint or "")
    assert now(world).records[DOCS].content == "elsewhere.example.com"

    api(world, "DELETE", f"zones/{world.cloudflare.zone_id}/dns_records/{foreign}")
    world.up()
    assert now(world) == expected(world.settings, tunnel_id(world))


def test_a_record_that_is_ours_already_is_taken_over(world: NasWorld) -> None:
    del world.service("doc-engine")["host"]
    world.up()
    content = f"{tunnel_id(world)}.cfargotunnel.com"
    kept = foreign_record(world, content, proxied=True, ttl=1)
    world.service("doc-engine")["host"] = "docs"
    world.settings["ingress"]["records"] = {"docs": kept}
    before = len(calls(world))
    world.up()
    assert now(world) == expected(world.settings, tunnel_id(world))
    assert kept in world.cloudflare_state()["records"]
    assert not [call for call in changing(calls(world, before)) if "dns_records" in call]
    # The setting was needed once.
    del world.settings["ingress"]["records"]
    assert world.up() == ()


def test_a_connected_tunnel_goes_after_its_connector(world: NasWorld) -> None:
    tunnel = tunnel_id(world)
    world.admin("connect", {"tunnel_id": tunnel})
    with pytest.raises(Failed) as error:
        world.nas.destroy()
    assert error.value.message.startswith("tunnel: ")
    assert "active connections" in error.value.message
    assert "stop that cloudflared" in (error.value.hint or "")
    # Ours is gone by then: only another one, or Cloudflare's memory of it, can be in the way.
    assert world.seen() == {}

    world.admin("disconnect", {"tunnel_id": tunnel})
    world.nas.destroy()
    assert now(world) == Facts()


def test_a_tunnel_that_exists_is_taken_over_and_left(other: NasWorld) -> None:
    ingress, account = other.settings["ingress"], other.cloudflare.account_id
    other.admin("seed", {"tunnels": [{"name": "from-before"}]})
    tunnel = tunnel_id(other)

    ingress["tunnelId"] = "00000000-0000-4000-8000-000000000000"
    refused(other, "ingress.tunnelId")
    ingress |= {"tunnelId": tunnel, "accountId": "0" * 32}
    refused(other, "ingress.accountId")
    ingress["accountId"] = account

    other.up()
    found = now(other)
    assert found == expected(other.settings, tunnel, name="from-before")
    before = len(calls(other))
    assert other.up() == ()
    assert changing(calls(other, before)) == []

    other.nas.destroy()
    assert now(other) == Facts(tunnels=found.tunnels, rules=found.rules)
    assert not [call for call in calls(other) if call.startswith("DELETE") and tunnel in call]


def refused(world: NasWorld, setting: str) -> None:
    """An `up` fails for `setting`, before a host can be reached."""
    with pytest.raises(Failed) as error:
        world.up()
    assert setting in f"{error.value.message} {error.value.hint}"
    assert now(world).records == {}
    assert now(world).rules == []
