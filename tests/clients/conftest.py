"""The vendor's own clients, unmodified, against the emulator, with an environment of their own."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from localcloud.vastai.server import RunningCloud, running_cloud

KEY = "local-clients"
DEADLINE_SECONDS = 10.0


@dataclass(frozen=True)
class Output:
    """What a client printed; its exit code means little."""

    stdout: str
    stderr: str

    def json(self) -> object:
        return json.loads(self.stdout)


@dataclass(frozen=True)
class Client:
    """Runs the `vastai` command, or Python with the SDK, in a home of its own."""

    environment: Mapping[str, str]

    def __call__(self, *arguments: str) -> Output:
        return self._run([str(Path(sys.executable).parent / "vastai"), *arguments])

    def rows(self, *arguments: str) -> list[dict[str, object]]:
        rows = self(*arguments, "--raw").json()
        assert isinstance(rows, list)
        return rows

    def sdk(self, code: str) -> object:
        """Run code that leaves its answer in `answer`; `vast` is the SDK's client."""
        lines = ("import json", "from vastai import VastAI", "vast = VastAI()", code)
        return self._run(
            [sys.executable, "-c", "\n".join((*lines, "print(json.dumps(answer))"))]
        ).json()

    def _run(self, command: list[str]) -> Output:
        done = subprocess.run(
            command, env=self.environment, capture_output=True, text=True, timeout=60, check=False
        )
        return Output(done.stdout, done.stderr)


@pytest.fixture(scope="module")
def cloud() -> Iterator[RunningCloud]:
    with running_cloud(seed=1, boot_seconds=0.2, key=KEY) as running:
        yield running


@pytest.fixture(scope="module")
def environment(cloud: RunningCloud, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An allow-list: the clients see loopback, a dummy key and an empty home."""
    home = str(tmp_path_factory.mktemp("home"))
    folders = dict.fromkeys(
        ("HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME"), home
    )
    return {
        **folders,
        "VAST_URL": cloud.url,
        "VAST_API_KEY": KEY,
        "CI": "1",
        "PATH": os.environ["PATH"],
        "COLUMNS": "200",
        "NO_COLOR": "1",
    }


@pytest.fixture
def vastai(environment: dict[str, str]) -> Client:
    return Client(environment)


@pytest.fixture
def api(cloud: RunningCloud) -> Iterator[httpx.Client]:
    """Plain HTTP, for what the vendor's clients do not show."""
    with httpx.Client(
        base_url=cloud.url, headers={"Authorization": f"Bearer {KEY}"}, timeout=10
    ) as client:
        yield client


@pytest.fixture
def admin(cloud: RunningCloud) -> Iterator[httpx.Client]:
    """The admin routes; what a test ordered there is cancelled behind it."""
    with httpx.Client(base_url=cloud.admin_url, timeout=10) as client:
        yield client
        client.post("/release", json={}).raise_for_status()
        client.delete("/faults").raise_for_status()
        client.post("/limits", json={"enabled": False, "form": "text"}).raise_for_status()


@pytest.fixture
def eventually() -> Callable[[Callable[[], bool]], None]:
    """Poll until something holds; the emulator needs a moment of real time."""

    def poll(condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + DEADLINE_SECONDS
        while not condition():
            assert time.monotonic() < deadline, f"not within {DEADLINE_SECONDS:g} s"

    return poll
