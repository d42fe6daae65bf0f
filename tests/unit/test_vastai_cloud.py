"""The small cloud of the tests, with a clock that moves when told to; the emulator agrees."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from localcloud.vastai.server import running_cloud
from providers.vastai.client import VastClient
from providers.vastai.credentials import Credentials
from providers.vastai.errors import NoSuchOffer, NotFound
from providers.vastai.models import Rental
from providers.vastai.offers import Want
from providers.vastai.pacing import NoPace, Pace
from providers.vastai.renting import Renter
from providers.vastai.session import UpdateSession

KEY = "local-canary-8d1f"
TAILNET_KEY = "tskey-canary-77aa"
URL = "http://127.0.0.1:9"
OWNER = "0123456789ab"

Json = dict[str, Any]
Route = tuple[str, Callable[[], httpx.Response]]


def label(slot: str) -> str:
    return f"agent-docker/{OWNER}/gpu/{slot}"


def offer_row(number: int = 1, **changes: object) -> Json:
    """An offer that every default accepts."""
    return {
        "id": 7000 + number,
        "machine_id": 100 + number,
        "host_id": 10 + number,
        "gpu_name": "RTX 4090",
        "num_gpus": 1,
        "gpu_ram": 24_564,
        "cpu_ram": 64_000,
        "cpu_cores": 16,
        "cpu_cores_effective": 8.0,
        "disk_space": 200.0,
        "dph_total": 0.4,
        "storage_total_cost": 0.01,
        "min_bid": 0.2,
        "dlperf": 100.0,
        "reliability2": 0.99,
        "verification": "verified",
        "hosting_type": 0,
        "direct_port_count": 100,
        "inet_up": 500.0,
        "inet_down": 800.0,
        "cuda_max_good": 12.8,
        "duration": 30 * 86_400.0,
        "geolocation": "Texas, US",
        "rentable": True,
        "rented": False,
        "a_new_field": {},
    } | changes


def instance_row(contract: int = 501, **changes: object) -> Json:
    """A running rental, with the secrets that Vast.ai echoes."""
    return {
        "id": contract,
        "label": label("gpu-a1"),
        "machine_id": 101,
        "host_id": 11,
        "gpu_name": "RTX 4090",
        "num_gpus": 1,
        "disk_space": 50.0,
        "actual_status": "running",
        "intended_status": "running",
        "cur_state": "running",
        "image_uuid": "ollama/ollama:0.12.6",
        "is_bid": False,
        "dph_total": 0.4,
        "extra_env": [["TAILSCALE_AUTH_KEY", TAILNET_KEY]],
        "onstart": f"tailscale up --authkey {TAILNET_KEY}",
    } | changes


def order(slot: str = "gpu-a1") -> Rental:
    env = {"TAILSCALE_AUTH_KEY": TAILNET_KEY}
    return Rental(image="ollama/ollama:0.12.6", disk=50.0, label=label(slot), env=env)


def wanted(gpu: str = "RTX 4090", **changes: object) -> Want:
    return Want(gpu=gpu, **changes)


@dataclass
class Clock:
    """Seconds that pass only in `sleep`."""

    now: float = 1000.0
    slept: list[float] = field(default_factory=list)

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        assert seconds >= 0
        self.slept.append(seconds)
        self.now += seconds


@dataclass
class FakeCloud:
    """Rents, lists and ends machines; `faults` befall the next calls of an endpoint, in order.

    A fault ending in `_after` befalls a call that took effect, any other one that did not.
    """

    clock: Clock
    folder: Path
    offers: list[Json] = field(default_factory=lambda: [offer_row(n) for n in range(1, 7)])
    live: dict[int, Json] = field(default_factory=dict)
    faults: dict[str, list[str]] = field(default_factory=dict)
    lag: float = 0.0
    pace: Pace = field(default_factory=NoPace)
    calls: list[str] = field(default_factory=list)
    changes: list[tuple[str, Json]] = field(default_factory=list)
    created: dict[int, float] = field(default_factory=dict)
    next_id: int = 501

    def client(self) -> VastClient:
        return VastClient(
            Credentials(key=KEY, url=URL, paced=False),
            pace=self.pace,
            transport=httpx.MockTransport(self.answer),
            sleep=self.clock.sleep,
        )

    def session(self, update: str = "one") -> UpdateSession:
        return UpdateSession(self.client(), update=update, folder=self.folder, clock=self.clock)

    def renter(self, update: str = "one") -> Renter:
        session = self.session(update)
        return Renter(
            client=session._client, session=session, clock=self.clock, sleep=self.clock.sleep
        )

    def add(self, contract: int, **changes: object) -> None:
        self.live[contract] = instance_row(contract, **changes)
        self.created[contract] = float("-inf")

    def labels(self) -> list[str]:
        return sorted(row["label"] for row in self.live.values())

    def count(self, kind: str) -> int:
        return self.calls.count(kind)

    def answer(self, request: httpx.Request) -> httpx.Response:
        kind, act = self._route(request)
        self.calls.append(kind)
        waiting = self.faults.get(kind)
        fault = waiting.pop(0) if waiting else ""
        if fault.endswith("_after"):
            act()
        return _fail(fault, request) if fault else act()

    def _route(self, request: httpx.Request) -> Route:
        method, parts = request.method, request.url.path.strip("/").split("/")[2:]
        number = int(parts[-1]) if parts[-1].isdigit() else 0
        body = json.loads(request.content or b"{}")
        by_place: dict[str, Route] = {
            "bundles": ("search", lambda: _json({"offers": self._free()})),
            "gpu_names": ("user", lambda: _json({"gpu_names": ["RTX 4090", "RTX 5090", "H100"]})),
            "asks": ("create", lambda: self._rent(number, body)),
        }
        by_method: dict[str, Route] = {
            "DELETE": ("destroy", lambda: self._destroy(number)),
            "PUT": ("change", lambda: self._change(parts[1], number, body)),
        }
        if found := by_place.get(parts[0]) or by_method.get(method):
            return found
        if number:
            return "show", lambda: _json({"instances": self.live.get(number)})
        filters = json.loads(request.url.params["select_filters"])
        return "list", lambda: self._list(filters.get("label", {}).get("eq"))

    def _free(self) -> list[Json]:
        taken = {row["machine_id"] for row in self.live.values()}
        return [row for row in self.offers if row["machine_id"] not in taken]

    def _rent(self, offer: int, body: Json) -> httpx.Response:
        found = next((row for row in self._free() if row["id"] == offer), None)
        if found is None:
            return _json({"success": False, "error": "no_such_ask", "ask_id": offer}, 404)
        contract, self.next_id = self.next_id, self.next_id + 1
        same = {key: found[key] for key in ("machine_id", "host_id", "gpu_name", "num_gpus")}
        self.live[contract] = instance_row(
            contract, label=body["label"], actual_status=None, disk_space=body["disk"], **same
        )
        self.created[contract] = self.clock()
        return _json({"success": True, "new_contract": contract, "instance_api_key": "canary"})

    def _destroy(self, contract: int) -> httpx.Response:
        if self.live.pop(contract, None) is None:
            return _json({"success": False, "error": "no_such_instance", "msg": "not found."}, 404)
        return _json({"success": True})

    def _change(self, what: str, contract: int, body: Json) -> httpx.Response:
        self.changes.append((what, body))
        self.live[contract] |= {"label": body["label"]} if "label" in body else {}
        return _json({"success": True})

    def _list(self, wanted: str | None) -> httpx.Response:
        seen = [i for i in self.live if self.created[i] + self.lag <= self.clock()]
        rows = [self.live[i] for i in seen if wanted in {None, self.live[i]["label"]}]
        return _json({"success": True, "instances": rows, "next_token": None})


def _json(body: object, status: int = 200) -> httpx.Response:
    return httpx.Response(status, json=body)


def _fail(fault: str, request: httpx.Request) -> httpx.Response:
    kind = fault.removesuffix("_after")
    errors = {
        "lost": httpx.ReadError,
        "timeout": httpx.ReadTimeout,
        "unreachable": httpx.ConnectError,
    }
    if kind in errors:
        raise errors[kind](kind, request=request)
    answers: dict[str, tuple[int, object]] = {
        "500": (500, "oops"),
        "503": (503, {"error": "unavailable"}),
        "429": (429, "API requests too frequent: endpoint threshold=4.5"),
        "gone_404": (404, {"success": False, "error": "no_such_ask"}),
        "gone_410": (410, {"msg": "error 410/3907: no_such_ask ... no longer available."}),
        "auth_404": (404, {"success": False, "error": "auth_error", "msg": "Invalid user key"}),
        "refused": (400, {"success": False, "error": "invalid_args", "msg": "bad field"}),
        "no_id": (200, {"success": True}),
        "array": (200, []),
    }
    status, body = answers[kind]
    return httpx.Response(status, text=body) if isinstance(body, str) else _json(body, status)


@dataclass
class Rig:
    """A client of either cloud, and how many rentals live there."""

    client: VastClient
    live: Callable[[], int]


@pytest.fixture(params=["small cloud", "emulator"])
def rig(request: pytest.FixtureRequest, cloud: FakeCloud) -> Iterator[Rig]:
    if request.param == "small cloud":
        yield Rig(cloud.client(), lambda: len(cloud.live))
        return
    with running_cloud(offers=40) as real:
        client = VastClient(Credentials(key=KEY, url=real.url), pace=NoPace())
        yield Rig(client, lambda: sum(1 for _ in real.cloud.live()))
        client.close()


def rent(rig: Rig, slot: str = "gpu-a1") -> int:
    return rig.client.create(rig.client.search(wanted().query())[0].id, order(slot))


def test_a_rental_carries_its_label_until_it_is_destroyed(rig: Rig) -> None:
    contract = rent(rig)
    rent(rig, "gpu-b2")
    (mine,) = rig.client.instances(label=label("gpu-a1"))
    assert (mine.id, mine.label) == (contract, label("gpu-a1"))
    assert (mine.gpu_name, mine.num_gpus) == ("RTX 4090", 1)
    assert rig.client.instance(contract).disk_space == 50.0
    assert (len(rig.client.instances()), rig.live()) == (2, 2)
    rig.client.destroy(contract)
    with pytest.raises(NotFound):
        rig.client.instance(contract)
    with pytest.raises(NotFound):
        rig.client.destroy(contract)
    assert rig.client.instances(label=label("gpu-a1")) == []


def test_an_offer_is_rented_once(rig: Rig) -> None:
    offer = rig.client.search(wanted().query())[0]
    rig.client.create(offer.id, order())
    assert offer.id not in [left.id for left in rig.client.search(wanted().query())]
    for gone in (offer.id, 1):
        with pytest.raises(NoSuchOffer):
            rig.client.create(gone, order("gpu-b2"))


def test_labels_are_written_and_gpus_named(rig: Rig) -> None:
    contract = rent(rig)
    rig.client.set_label(contract, "mine")
    assert rig.client.instance(contract).label == "mine"
    assert "RTX 4090" in rig.client.gpu_names()
