"""Fixtures that the tests of Vast.ai share."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from providers import agent_router
from providers.vastai import instance
from providers.vastai.client import VastClient
from providers.vastai.credentials import Credentials
from providers.vastai.instance import InstanceProvider
from providers.vastai.pacing import NoPace, Pace
from providers.vastai.runtime import Runtime
from tests.unit.test_vastai_cloud import KEY, TAILNET_KEY, URL, Clock, FakeCloud

Reply = httpx.Response | Exception


@dataclass
class Script:
    """Replies in order, and what was asked."""

    replies: list[Reply]
    asked: list[httpx.Request] = field(default_factory=list)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        reply = self.replies.pop(0)
        if isinstance(reply, Exception):
            raise reply
        return reply

    def body(self, number: int = -1) -> Any:  # noqa: ANN401 - whatever was sent
        return json.loads(self.asked[number].content)


@dataclass
class Held(NoPace):
    """Notes turns and holds instead of waiting."""

    turns: list[str] = field(default_factory=list)
    holds: list[tuple[str, float]] = field(default_factory=list)

    def turn(self, endpoint: str) -> float:
        self.turns.append(endpoint)
        return 0.0

    def hold(self, endpoint: str, seconds: float) -> None:
        self.holds.append((endpoint, seconds))


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    found = tmp_path / "run"
    found.mkdir(mode=0o700)
    return found


@pytest.fixture
def cloud(clock: Clock, folder: Path) -> FakeCloud:
    return FakeCloud(clock=clock, folder=folder)


@pytest.fixture
def scripted(clock: Clock) -> Iterator[Callable[..., tuple[VastClient, Script]]]:
    """A client that gets the given replies, and what it asked."""
    clients: list[VastClient] = []

    def build(*replies: Reply, pace: Pace | None = None) -> tuple[VastClient, Script]:
        script = Script(list(replies))
        clients.append(
            VastClient(
                Credentials(key=KEY, url=URL, paced=False),
                pace=pace,
                transport=httpx.MockTransport(script),
                sleep=clock.sleep,
            )
        )
        return clients[-1], script

    yield build
    for client in clients:
        client.close()


@pytest.fixture
def provider(cloud: FakeCloud, monkeypatch: pytest.MonkeyPatch) -> InstanceProvider:
    """The dynamic provider over the small cloud; each call finds the same update."""
    renter = cloud.renter()
    tools = Runtime(client=renter.client, session=renter.session, renter=renter)
    monkeypatch.setattr(instance, "runtime", lambda: tools)
    monkeypatch.setenv("TAILSCALE_AUTH_KEY", TAILNET_KEY)
    return InstanceProvider()


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """What the router was told; it never answers."""
    calls: list[tuple[str, str]] = []

    def note(router: str, endpoint: str) -> bool:
        calls.append((router, endpoint))
        return False

    monkeypatch.setattr(agent_router, "deregister_quietly", note)
    return calls
