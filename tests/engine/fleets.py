"""A gpu stack on the real engine and the emulator, for tests: everything below one folder."""

import json
import sys
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from localcloud.vastai.server import RunningCloud
from operations.fleet import Fleet
from operations.jobs import Event
from operations.process import Limits
from operations.stack import Stack
from operations.state import StackState
from operations.target import Target
from providers.vastai.client import VastClient
from providers.vastai.credentials import Credentials
from tools import engine

OWNER = "0123456789ab"
VAST_CANARY = "local-canary-of-the-vast-key"
TAILNET_CANARY = "tskey-canary-of-the-tailnet"
PASSPHRASE_CANARY = "canary-of-the-passphrase"


@dataclass
class TestFleet:
    """The fleet under test, and what the emulator and the state say about it."""

    __test__ = False

    fleet: Fleet
    cloud: RunningCloud
    settings: dict[str, Any]
    folder: Path
    events: list[Event] = field(default_factory=list)

    def deploy(self, **fleet: Any) -> Any:
        """A person's `pulumi up` with these fleet settings on top."""
        return self.fleet.stack.deploy(self.with_fleet(**fleet))

    def with_fleet(self, **fleet: Any) -> dict[str, Any]:
        return {**self.settings, "fleet": {**self.settings["fleet"], **fleet}}

    def live(self) -> dict[str, list[int]]:
        """Contract ids that live on the emulator, by slot."""
        found: dict[str, list[int]] = {}
        for rental in self.admin("state")["rentals"]:
            if rental["live"]:
                found.setdefault(rental["label"].rsplit("/", 1)[-1], []).append(rental["id"])
        return found

    def state(self) -> StackState:
        return self.fleet.stack.snapshot().state

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

    def admin(self, path: str, body: dict[str, Any] | None = None, method: str = "") -> Any:
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
    folder: Path, cloud: RunningCloud, *, stack: str = "gpu", limits: Limits | None = None
) -> TestFleet:
    """A fleet whose backend, homes, turns and temporary files are all below `folder`."""
    settings = {
        "owner": OWNER,
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
        stack=Stack(target=target, on_event=events.append, limits=limits or Limits()),
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
