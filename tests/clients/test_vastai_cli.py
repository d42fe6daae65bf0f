"""The real `vastai` command. Its exit codes lie, so only its output counts."""

import re
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from localcloud.vastai.cloud import Cloud
from localcloud.vastai.rentals.rental import Order, Status
from localcloud.vastai.server import RunningCloud

Poll = Callable[[Callable[[], bool]], None]
Cli = Any  # the `Client` of conftest, which importlib mode cannot import
SUITABLE = "gpu_name=RTX_4090 num_gpus=1 direct_port_count>=3 disk_space>100"
KEY_TEXT = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGemulated renter@example.com"


def cheapest(vastai: Cli, *options: str) -> int:
    rows = vastai.rows("search", "offers", SUITABLE, "--order", "dph", "--limit", "1", *options)
    return int(rows[0]["id"])


def create(vastai: Cli, *options: str) -> int:
    created = vastai(
        *("create", "instance", str(cheapest(vastai)), "--image", "ollama/ollama:0.12.6"),
        *("--disk", "20", *options, "--raw"),
    ).json()
    assert created["success"] is True
    return int(created["new_contract"])


@pytest.fixture
def rental(cloud: RunningCloud, eventually: Poll) -> int:
    """One running instance, rented without the client: each of its calls takes a second."""

    def rent(state: Cloud) -> int:
        offer = next(offer for offer in state.market.offers.values() if offer.gpus == 1)
        return state.rent(offer.id, Order(image="ollama/ollama:0.12.6")).id

    number = cloud.run(rent)
    eventually(lambda: cloud.cloud.rentals[number].serves)
    return number


def test_search_understands_the_grammar(vastai: Cli) -> None:
    rows = vastai.rows(
        *("search", "offers", f"{SUITABLE} dph<0.5 gpu_ram>=24 geolocation in [US,CA,DE,SE,GB,JP]"),
        *("--order", "dph", "--storage", "40", "--limit", "10"),
    )
    assert 0 < len(rows) <= 10
    assert all(row["gpu_name"] == "RTX 4090" and row["dph_total"] < 0.5 for row in rows)
    assert [row["dph_total"] for row in rows] == sorted(row["dph_total"] for row in rows)
    assert len(vastai.rows("search", "offers", "-n", "verified=any")) == 64
    bids = vastai.rows("search", "offers", SUITABLE, "--interruptible")
    assert all(row["is_bid"] for row in bids)


def test_search_prints_a_table(vastai: Cli) -> None:
    table = vastai("search", "offers", SUITABLE, "--limit", "3").stdout
    assert table.count("RTX_4090") == 3


def test_the_life_of_an_instance(vastai: Cli, cloud: RunningCloud, eventually: Poll) -> None:
    rental = create(
        vastai, "--ssh", "--direct", "--env", "-e A=b -p 11434:11434", "--label", "slot-1"
    )
    eventually(lambda: cloud.cloud.rentals[rental].serves)
    shown = vastai("show", "instance", str(rental), "--raw").json()
    assert (shown["actual_status"], shown["label"]) == ("running", "slot-1")
    assert shown["extra_env"] == {"A": "b", "-p 11434:11434": "1"}
    port = shown["ports"]["11434/tcp"][0]["HostPort"]
    assert httpx.get(f"http://{shown['public_ipaddr']}:{port}/").text == "Ollama is running"
    assert "set to slot-2" in vastai("label", "instance", str(rental), "slot-2").stdout
    assert cloud.cloud.rentals[rental].order.label == "slot-2"
    url = vastai("ssh-url", str(rental)).stdout
    assert re.match(r"ssh://root@127\.\d+\.\d+\.\d+:\d+", url)
    assert "stopping instance" in vastai("stop", "instance", str(rental)).stdout
    assert cloud.cloud.rentals[rental].status is Status.STOPPED
    assert "starting instance" in vastai("start", "instance", str(rental)).stdout
    assert cloud.cloud.rentals[rental].intended == "running"
    assert "destroying instance" in vastai("destroy", "instance", str(rental), "-y").stdout
    assert vastai("show", "instance", str(rental), "--raw").json() == {"instances": None}
    again = vastai("destroy", "instance", str(rental), "-y")
    assert f"Failed with error 404: Instance {rental} not found." in again.stdout + again.stderr


def test_logs_restarts_and_updates(vastai: Cli, cloud: RunningCloud, rental: int) -> None:
    number = str(rental)
    assert "rented" in vastai("logs", number, "--tail", "100").stdout
    assert "Rebooting" in vastai("reboot", "instance", number).stdout
    update = vastai(
        *("update", "instance", number, "--image", "ollama/ollama:0.13.0"),
        *("--env", '{"A": "c"}', "--onstart", "serve"),
    )
    assert "updated" in update.stdout.lower(), update
    order = cloud.cloud.rentals[rental].order
    assert (order.image, order.env, order.onstart) == (
        "ollama/ollama:0.13.0",
        (("A", "c"),),
        "serve",
    )
    refused = vastai("change", "bid", number, "--price", "0.4")
    assert "Can't change price of on-demand contract." in refused.stdout + refused.stderr


def test_bids(vastai: Cli, cloud: RunningCloud) -> None:
    number = create(vastai, "--bid_price", "0.79")
    assert cloud.cloud.rentals[number].is_bid
    vastai("change", "bid", str(number), "--price", "0.61")
    assert cloud.cloud.rentals[number].gpu_rate == 610_000


def test_more_than_a_page_of_instances(vastai: Cli, cloud: RunningCloud) -> None:
    ids = [row["id"] for row in vastai.rows("search", "offers", SUITABLE, "--limit", "30")]
    before = {rental.id for rental in cloud.cloud.live()}
    vastai("create", "instances", *map(str, ids), "--image", "a:1", "--label", "many", "--raw")
    mine = {rental.id for rental in cloud.cloud.live()} - before
    assert len(mine) == 30
    listed = vastai.rows("show", "instances")
    assert mine <= {row["id"] for row in listed}
    assert len(listed) > 25
    assert "Total" in vastai("show", "instances").stdout
    vastai("destroy", "instances", *map(str, mine), "-y")
    assert not mine & {rental.id for rental in cloud.cloud.live()}


def test_ssh_keys(vastai: Cli, cloud: RunningCloud, rental: int) -> None:
    assert "ssh-key" in vastai("create", "ssh-key", KEY_TEXT).stdout.lower()
    [key] = vastai.rows("show", "ssh-keys")
    assert key["public_key"] == KEY_TEXT
    assert "added" in vastai("attach", "ssh", str(rental), KEY_TEXT).stdout
    assert "already associated" in vastai("attach", "ssh", str(rental), KEY_TEXT).stdout
    vastai("delete", "ssh-key", str(key["id"]))
    assert key["id"] not in cloud.cloud.account.keys


def test_the_user_and_a_bad_key(vastai: Cli, cloud: RunningCloud) -> None:
    user = vastai("show", "user", "--raw").json()
    assert 0 < user["credit"] <= 1000
    refused = vastai("show", "user", "--raw", "--api-key", "local-wrong")
    assert "Invalid user key" in refused.stdout + refused.stderr
    assert cloud.cloud.counters.calls["gpu_names"] > 0


def test_volumes(vastai: Cli, cloud: RunningCloud) -> None:
    ask = vastai.rows("search", "volumes", "--limit", "1")[0]["id"]
    vastai("create", "volume", str(ask), "--size", "20", "--raw")
    [volume] = vastai.rows("show", "volumes")
    assert volume["disk_space"] == 20
    vastai("delete", "volume", str(volume["id"]))
    assert not cloud.cloud.volumes
