"""A gpu stack on the real engine and the emulator, for tests: everything below one folder."""

import json
import sys
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from contracts.labels import Label
from contracts.outputs import InstanceOutput
from localcloud.vastai.server import RunningCloud
from operations.fleet import Fleet
from operations.jobs import Event
from operations.process import Limits, OnEvent
from operations.stack import Applied, Stack
from operations.state import StackState
from operations.target import Target
from providers.vastai.client import VastClient
from providers.vastai.credentials import Credentials
from providers.vastai.models import Rental
from tools import engine

OWNER = "0123456789ab"
VAST_CANARY = "local-canary-of-the-vast-key"
TAILNET_CANARY = "tskey-canary-of-the-tailnet"
PASSPHRASE_CANARY = "canary-of-the-passphrase"  # noqa: S105 - that is what it is


@dataclass
class TestFleet:
    """The fleet under test, and what the emulator and the state say about it."""

    __test__ = False

    fleet: Fleet
    cloud: RunningCloud
    settings: dict[str, Any]
    folder: Path
    events: list[Event] = field(default_factory=list)

    def deploy(self, **fleet: object) -> Applied:
        """A person's `pulumi up` with these fleet settings on top."""
        return self.fleet.stack.deploy(self.with_fleet(**fleet))

    def with_fleet(self, **fleet: object) -> dict[str, Any]:
        return {**self.settings, "fleet": {**self.settings["fleet"], **fleet}}

    def live(self) -> dict[str, list[int]]:
        """Contract ids that live on the emulator, by slot."""
        found: dict[str, list[int]] = {}
        for rental in self.rentals():
            label = Label.parse(rental["label"])
            if label and (label.owner, label.stack) == (self.owner, self.fleet.stack.target.stack):
                found.setdefault(label.slot, []).append(rental["id"])
        return found

    @property
    def owner(self) -> str:
        return str(self.settings["owner"])

    def state(self) -> StackState:
        return self.fleet.stack.snapshot().state

    def names(self) -> tuple[str, ...]:
        slots = self.state().slots
        return slots.names if slots else ()

    def records(self) -> list[InstanceOutput]:
        return self.fleet.instances(self.state())

    def contracts(self) -> dict[str, int]:
        """The one machine of each slot, as the emulator knows it."""
        live = self.live()
        assert all(len(ids) == 1 for ids in live.values()), live
        return {slot: ids[0] for slot, ids in live.items()}

    def rentals(self) -> list[dict[str, Any]]:
        return [rental for rental in self.admin("state")["rentals"] if rental["live"]]

    def befall(self, slot: str, fate: str) -> None:
        """Let `slot`'s machine suffer `fate` once it has booted."""
        contract = self.contracts()[slot]
        self.until(
            lambda: any(r["id"] == contract and r["status"] == "running" for r in self.rentals())
        )
        self.admin(f"instances/{contract}/{fate}", {})

    def calls(self, *endpoints: str) -> list[int]:
        """How often the emulator was asked for each."""
        counted = self.admin("state")["endpoints"]
        return [int(counted.get(name, {}).get("calls", 0)) for name in endpoints]

    def is_held(self) -> bool:
        """Whether a call waits at a hold."""
        return any(hold["waiting"] for hold in self.admin("held")["held"])

    def rent_by_hand(self, offer: int, *, label: str) -> int:
        """A machine on the same account that is none of ours."""
        with self.fleet.cloud() as client:
            return client.create(offer, Rental(image="other:1", disk=10.0, label=label))

    def with_env(self, **changes: str) -> "TestFleet":
        """The same fleet with another environment of its engine."""
        target = self.fleet.stack.target
        return self._with_target(replace(target, env={**target.env, **changes}))

    def with_state(self, name: str) -> "TestFleet":
        """The same fleet, operated by another installation of the services."""
        return self._with_target(replace(self.fleet.stack.target, state=self.folder / name))

    def _with_target(self, target: Target) -> "TestFleet":
        stack = replace(self.fleet.stack, target=target)
        return replace(self, fleet=replace(self.fleet, stack=stack))

    def until(self, holds: Callable[[], bool], seconds: float = 60.0) -> None:
        """Poll until `holds`."""
        end = time.monotonic() + seconds
        while not holds():
            assert time.monotonic() < end, f"not within {seconds} s"

    def assert_whole(self, count: int | None = None) -> None:
        """Machines on the emulator = machines in the state = slots of the last update."""
        state, live = self.state(), self.live()
        assert state.slots is not None
        recorded = {machine.slot: [machine.contract] for machine in state.machines}
        assert live == recorded
        assert sorted(recorded) == sorted(state.slots.names)
        assert state.pending == ()
        if count is not None:
            assert len(recorded) == count

    def admin(self, path: str, body: dict[str, Any] | None = None, method: str = "") -> Any:  # noqa: ANN401 - JSON
        """Call the emulator's admin route."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(  # noqa: S310 - loopback
            f"{self.cloud.admin_url}/{path}",
            data=data,
            method=method or ("GET" if body is None else "POST"),
            headers={"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310 - loopback
            return json.loads(answer.read() or b"null")


def make_fleet(
    folder: Path,
    cloud: RunningCloud,
    *,
    stack: str = "gpu",
    limits: Limits | None = None,
    on_event: OnEvent | None = None,
    owner: str = OWNER,
) -> TestFleet:
    """A fleet whose backend, homes, turns and temporary files are all below `folder`."""
    settings = {
        "owner": owner,
        "layer": "gpu",
        "fleet": {
            "image": "ollama/ollama:0.12.6",
            "min": 1,
            "max": 5,
            "tailnet": "tailnet.test",
            "endpoint": cloud.endpoint_template,
        },
    }
    events: list[Event] = []
    target = Target(
        stack=stack,
        env=environment(folder, cloud.url),
        state=folder / "operations",
        settings=settings,
        secrets=(VAST_CANARY, TAILNET_CANARY, PASSPHRASE_CANARY),
    )
    fleet = Fleet(
        stack=Stack(target=target, on_event=on_event or events.append, limits=limits or Limits()),
        cloud=lambda: VastClient(Credentials.read(target.env)),
    )
    return TestFleet(fleet=fleet, cloud=cloud, settings=settings, folder=folder, events=events)


def environment(folder: Path, url: str) -> dict[str, str]:
    """The allow-listed environment of the engine; nothing of the shell's gets in."""
    for name in ("backend", "home", "tmp", "run"):
        (folder / name).mkdir(mode=0o700, parents=True, exist_ok=True)
    passphrase = folder / "passphrase"
    passphrase.write_text(PASSPHRASE_CANARY)
    return engine.child_environment(
        engine.ensure(),
        python=Path(sys.executable),
        home=folder / "home",
        backend_url=f"file://{folder / 'backend'}",
        passphrase_file=passphrase,
        extra={
            "TMPDIR": str(folder / "tmp"),
            "VASTAI_API_KEY": VAST_CANARY,
            "TAILSCALE_AUTH_KEY": TAILNET_CANARY,
            "VAST_URL": url,
            "AGENT_DOCKER_VAST_PACE": "off",
            "AGENT_DOCKER_RUN_DIR": str(folder / "run"),
        },
    )
