"""One engine a session, one emulator a module, one fleet in folders of its own a test."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from localcloud.vastai.server import RunningCloud, running_cloud
from tests.engine.fleets import VAST_CANARY, TestFleet, make_fleet
from tests.faults import processes
from tools import engine

NewFleet = Callable[..., TestFleet]


@pytest.fixture(scope="session", autouse=True)
def _engine() -> None:
    engine.ensure()


@pytest.fixture
def cloud() -> Iterator[RunningCloud]:
    with running_cloud(seed=1, key=VAST_CANARY, boot_seconds=0.05) as running:
        yield running


@pytest.fixture
def new_fleet(tmp_path: Path, cloud: RunningCloud) -> Iterator[NewFleet]:
    """Makes fleets on one emulator, each with a backend of its own; ends what they left."""
    folders: list[Path] = []

    def make(name: str = "one", **options: object) -> TestFleet:
        folder = tmp_path / name
        folder.mkdir()
        folders.append(folder)
        return make_fleet(folder, cloud, **options)  # type: ignore[arg-type]

    try:
        yield make
    finally:
        cloud.loop.call_soon_threadsafe(cloud.emulator.edge.holds.release, {})
        left = [process for folder in folders for process in processes.of(folder)]
        processes.kill(left)


@pytest.fixture
def fleet(new_fleet: NewFleet) -> TestFleet:
    return new_fleet()


def backend_state(fleet: TestFleet) -> str:
    """The state file as it stands on disk."""
    paths = (fleet.folder / "backend" / ".pulumi" / "stacks").rglob(
        f"{fleet.fleet.stack.target.stack}.json"
    )
    text = next(paths).read_text()
    json.loads(text)
    return text
