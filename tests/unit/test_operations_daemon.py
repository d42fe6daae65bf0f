"""What is removed from a daemon that others use too, on one that only remembers."""

import contextlib
from collections.abc import Generator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from operations import daemon as daemon_module
from operations import nas_recovery
from operations.daemon import Daemon, TooOld
from operations.nas_recovery import recover
from operations.state import RecordedResource, StackState

SINCE = datetime(2026, 1, 5, 10, 0, tzinfo=UTC)
OURS, THEIRS = "2026-01-05T10:00:01.123456789Z", "2026-01-05T09:59:59.987654321Z"
DAEMON = Daemon(url="unix:///run/docker.sock")


@dataclass
class FakeApi:
    """Containers and networks by id: when each was made."""

    made: dict[str, str]
    # Of each network, who is on it.
    networked: dict[str, dict[str, Any]] = field(default_factory=dict)
    api: str = "1.41"
    gone: list[str] = field(default_factory=list)

    def version(self) -> dict[str, str]:
        return {"ApiVersion": self.api, "Version": "20.10"}

    def info(self) -> dict[str, str]:
        return {"SystemTime": "2026-01-05T11:00:00.123456789+01:00"}

    def containers(self, **_: object) -> list[dict[str, Any]]:
        labels = {"agent-docker.service": "redis", "agent-docker.role": "service"}
        return [{"Id": id_, "Names": ["/x-redis"], "Labels": labels} for id_ in self.made]

    def networks(self, **_: object) -> list[dict[str, Any]]:
        return [{"Id": id_, "Name": "x-platform"} for id_ in self.made]

    def inspect_container(self, id_: str) -> dict[str, Any]:
        return {"Created": self.made[id_]}

    def inspect_network(self, id_: str) -> dict[str, Any]:
        return {"Created": self.made[id_], "Containers": self.networked.get(id_, {})}

    def stop(self, id_: str) -> None:
        assert id_ in self.made

    def remove_container(self, id_: str, *, force: bool) -> None:
        assert force
        self.gone.append(id_)

    def remove_network(self, id_: str) -> None:
        self.gone.append(id_)


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> FakeApi:
    fake = FakeApi({"ours": OURS, "theirs": THEIRS, "recorded": OURS})

    @contextlib.contextmanager
    def docker_api(_url: str, *, timeout: float | None) -> Generator[FakeApi]:
        assert timeout
        yield fake

    monkeypatch.setattr(daemon_module, "docker_api", docker_api)
    return fake


def test_only_a_container_that_was_made_since_is_removed(api: FakeApi) -> None:
    assert DAEMON.remove_others("nas", "x-", {"recorded"}, since=SINCE) == ["redis"]
    assert api.gone == ["ours"]
    # Another prefix is another stack's.
    assert DAEMON.remove_others("nas", "y-", set(), since=SINCE) == []


def test_only_a_network_that_was_made_since_is_removed(api: FakeApi) -> None:
    api.made["used"], api.networked["used"] = OURS, {"c1": {}}
    DAEMON.remove_other_network("nas", "x-platform", {"recorded"}, since=SINCE)
    assert api.gone == ["ours"]
    DAEMON.remove_other_network("nas", "y-platform", set(), since=SINCE)
    assert api.gone == ["ours"]


@pytest.mark.usefixtures("api")
def test_every_container_is_listed() -> None:
    assert DAEMON.containers("nas") == {"ours", "theirs", "recorded"}


def test_the_daemon_tells_its_time_and_its_age(api: FakeApi) -> None:
    there = datetime(2026, 1, 5, 11, 0, 0, 123456, tzinfo=timezone(timedelta(hours=1)))
    assert DAEMON.require_recent() == there
    api.api = "1.40"
    with pytest.raises(TooOld, match=r"20\.10 or newer"):
        DAEMON.require_recent()


@pytest.mark.parametrize(("since", "gone"), [(SINCE, ["ours", "ours"]), (None, [])])
def test_without_an_update_of_ours_nothing_is_removed(
    api: FakeApi, monkeypatch: pytest.MonkeyPatch, since: datetime | None, gone: list[str]
) -> None:
    there = (RecordedResource(kind="container", name="redis", id="recorded"),)
    stack: Any = FakeStack(StackState(there=there))
    monkeypatch.setattr(nas_recovery, "Settling", lambda **_: stack)
    state = recover(stack, DAEMON, prefix="x-", network="platform", host="here", since=since)
    assert state.ids == {"recorded"}
    assert api.gone == gone


@dataclass
class FakeStack:
    """At rest; its own target too."""

    state: StackState
    stack: str = "nas"

    @property
    def target(self) -> "FakeStack":
        return self

    def settle(self) -> None:
        """It is."""

    def refresh(self, *, clear_pending: bool) -> StackState:
        assert clear_pending
        return self.state
