"""No key and no passphrase is found anywhere but where it was put."""

import contextlib
import threading
from pathlib import Path

import psutil
import pytest

from operations.errors import Failed
from tests.engine.fleets import PASSPHRASE_CANARY, TAILNET_CANARY, VAST_CANARY, TestFleet
from tests.faults import processes

CANARIES = (VAST_CANARY, TAILNET_CANARY, PASSPHRASE_CANARY)


def test_canaries_are_nowhere(fleet: TestFleet) -> None:
    said: list[str] = []
    fleet.deploy()
    while_running = Watch(fleet)
    fleet.admin("hold", {"on": "create", "point": "received"})
    running = threading.Thread(target=fleet.fleet.resize, args=(2,))
    running.start()
    try:
        fleet.until(fleet.is_held)
        while_running.look()
    finally:
        fleet.admin("release", {})
        running.join()
    assert {"python", "pulumi"} <= while_running.names
    # The provider did send the tailnet's key: a look at the place where it must be.
    env = [dict(rental.order.env) for rental in fleet.cloud.cloud.live()]
    assert {entry["TAILSCALE_AUTH_KEY"] for entry in env} == {TAILNET_CANARY}

    fleet.fleet.roll(fleet.names()[0])
    fleet.fleet.replace(fleet.names()[0])
    fleet.fleet.recover()
    fleet.admin("faults", {"kind": "auth_as_404", "on": "any", "times": 99})
    for attempt in (fleet.deploy, fleet.fleet.stack.refresh, fleet.fleet.recover):
        with pytest.raises(Failed) as caught:
            attempt()
        said.append(str(caught.value))
    fleet.admin("faults", method="DELETE")
    fleet.fleet.destroy()
    said += [event.model_dump_json() for event in fleet.events]
    said += [repr(fleet.fleet), repr(fleet.fleet.stack.target)]

    found = [canary for canary in CANARIES if any(canary in text for text in said)]
    assert found == []
    assert while_running.found == []
    assert hits(fleet.folder) == []
    assert list((fleet.folder / "operations").glob("operation-*")) == []
    history = (fleet.folder / "backend" / ".pulumi" / "history").rglob("*.checkpoint.json")
    assert len(list(history)) > 4


class Watch:
    """Command lines and files while an update runs."""

    def __init__(self, fleet: TestFleet) -> None:
        self.fleet = fleet
        self.names: set[str] = set()
        self.found: list[str] = []

    def look(self) -> None:
        for process in processes.of(self.fleet.folder):
            with contextlib.suppress(psutil.Error):
                line = " ".join(process.cmdline())
                self.names.add(process.name())
                self.found += [line for canary in CANARIES if canary in line]
        self.found += hits(self.fleet.folder)


def hits(folder: Path) -> list[str]:
    """Every file below `folder` that holds a canary, but for the passphrase's own."""
    found: list[str] = []
    for path in folder.rglob("*"):
        if not path.is_file() or path == folder / "passphrase":
            continue
        with contextlib.suppress(OSError):  # Files of a running update come and go.
            data = path.read_bytes()
            found += [f"{path}: {canary}" for canary in CANARIES if canary.encode() in data]
    return found
