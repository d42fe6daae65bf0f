"""The service around the loop: what is wrong at its start is said, by the endpoint too."""

import contextlib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import fakeredis
import pytest

from autoscaler import service as service_module
from autoscaler.ledger import opened
from autoscaler.problems import Problems
from autoscaler.records import Reports
from autoscaler.server import StatusServer
from autoscaler.service import HUNG, SILENCE, Book, Service
from autoscaler.settings import AutoscalerSettings
from contracts.errors import SettingsError
from operations.errors import StackNotFound
from operations.leadership import Renewal
from tests.unit.autoscaler_fakes import NOW, Cloud, FakeFleet, Log, Time, fleet_settings


class Told(Reports):
    """Stops the service once it has told so many ticks' problems."""

    service: Service
    ticks = 2

    def problems(self, at: float, problems: Problems) -> None:
        super().problems(at, problems)
        self.found = problems.as_dict()
        self.ticks -= 1
        if self.ticks == 0:
            self.service.stop()


class ServedFleet(FakeFleet):
    """A fleet as the service has it: it makes the account's client, and has a folder."""

    folder: Path
    stopped = False

    def stop(self) -> None:
        self.stopped = True

    @property
    def stack(self) -> Any:  # noqa: ANN401 - of a Stack only what is asked for
        return SimpleNamespace(target=SimpleNamespace(state=self.folder))


@pytest.fixture
def server() -> fakeredis.FakeServer:
    return fakeredis.FakeServer(version=(7,))


@pytest.fixture
def told() -> Told:
    return Told(log=Log())  # type: ignore[arg-type]


def make(told: Told, server: fakeredis.FakeServer, folder: Path, **document: object) -> Service:
    cloud = Cloud()
    fleet = ServedFleet(cloud, Time())
    fleet.settings = fleet_settings(router=None, min=0)
    fleet.folder = folder
    fleet.cloud = cloud
    usual = {"minInstances": 0, "healthIntervalSeconds": 0.1}
    redis = fakeredis.FakeRedis(server=server, decode_responses=True)
    service = Service(
        settings=AutoscalerSettings.model_validate(usual | document),
        env={"REDIS_URL": "redis://:canary@127.0.0.1:1/0"},
        fleet=fleet,  # type: ignore[arg-type]
        reader=fleet,  # type: ignore[arg-type]
        redis=redis,
        reports=told,
    )
    told.service = service
    # The account's client is the fleet's `cloud()`.
    object.__setattr__(fleet, "cloud", Account(cloud))
    return service


class Account(Cloud):
    """An account that is a client and makes itself."""

    def __init__(self, cloud: Cloud) -> None:
        super().__init__(machines=cloud.machines)

    def __call__(self) -> contextlib.AbstractContextManager[Cloud]:
        return contextlib.nullcontext(self)


def run(service: Service, told: Told) -> StatusServer:
    made = StatusServer(told, "127.0.0.1:0", silence=1000)
    service.run(made)
    return made


def test_it_leads_and_stops(told: Told, server: fakeredis.FakeServer, tmp_path: Path) -> None:
    run(make(told, server, tmp_path), told)
    assert told.status["leader"] is True
    assert fakeredis.FakeRedis(server=server).keys("*:lease") == []
    assert (tmp_path / "ledger-gpu.json").exists()


def test_a_redis_that_is_away_is_a_problem_and_not_healthy(
    told: Told, server: fakeredis.FakeServer, tmp_path: Path
) -> None:
    server.connected = False
    made = run(make(told, server, tmp_path), told)
    assert not made.healthy
    assert "redis" in told.found
    assert "canary" not in str(told.found)


def test_a_stack_that_is_missing_is_a_problem_and_not_the_end(
    told: Told, server: fakeredis.FakeServer, tmp_path: Path
) -> None:
    told.ticks = 1
    service = make(told, server, tmp_path)
    service.fleet.unreadable = StackNotFound("the backend has no such stack")  # type: ignore[attr-defined]
    assert not run(service, told).healthy
    assert told.found == {"stack": "the backend has no such stack"}


def test_a_disk_that_is_full_is_a_problem_and_no_mistake(
    told: Told, server: fakeredis.FakeServer, tmp_path: Path
) -> None:
    service = make(told, server, tmp_path)
    service.fleet.cloud.failure = OSError(28, "No space left on device", "pace.json")  # type: ignore[attr-defined]
    run(service, told)
    assert told.found == {"cloud": "pace.json: No space left on device"}


def test_what_runs_is_asked_to_end_at_once_and_only_once(
    told: Told, server: fakeredis.FakeServer, tmp_path: Path
) -> None:
    service = make(told, server, tmp_path)
    presses: list[float] = []
    service.fleet.stop = lambda: presses.append(1)  # type: ignore[method-assign]
    service.stop()
    service.stop()
    assert presses == [1]


@pytest.mark.parametrize(("passed", "left"), [(0.0, 130.0), (100.0, 30.0), (500.0, 0.0)])
def test_an_update_has_130_seconds_from_when_the_end_was_asked_for(
    told: Told, server: fakeredis.FakeServer, tmp_path: Path, passed: float, left: float
) -> None:
    waits: list[float] = []
    service, time = make(told, server, tmp_path), Time()
    service.clock = time.clock
    hands = SimpleNamespace(busy="update", actuator=SimpleNamespace(wait=waits.append))
    service.stop()
    time.pass_(passed)
    service._end(SimpleNamespace(hands=hands))  # type: ignore[arg-type]
    assert waits == [left]
    service._end(SimpleNamespace(hands=SimpleNamespace(busy=None)))  # type: ignore[arg-type]
    assert waits == [left]


def test_a_tick_that_hangs_loses_the_lease(
    told: Told,
    server: fakeredis.FakeServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The renewal asks whether ticks still come."""
    told.ticks = 1
    alive: list[bool] = []
    service, time = make(told, server, tmp_path), Time()
    service.clock = time.clock

    class Asked(Renewal):
        def start(self) -> None:
            super().start()
            for seconds in (0.0, HUNG - 1, 1.0):
                time.pass_(seconds)
                alive.append(self._alive())

    monkeypatch.setattr(service_module, "Renewal", Asked)
    run(service, told)
    assert alive == [True, True, False]
    assert service._began == time.mono


def test_a_read_of_the_stack_ends_in_time_for_a_tick(tmp_path: Path) -> None:
    service = Service.of(environment(tmp_path), Reports())
    reads, changes = service.reader.stack, service.fleet.stack
    assert (reads.limits.timeout, changes.limits.timeout) == (60, 3600)
    assert reads.limits.timeout + reads.limits.first_wait + reads.limits.second_wait < SILENCE
    # Asked to end, both do.
    assert reads.switch is changes.switch
    service.redis.close()


def environment(folder: Path, **changes: str) -> dict[str, str]:
    return {
        "REDIS_URL": "redis://127.0.0.1:1/0",
        "PULUMI_BACKEND_URL": f"file://{folder}",
        "VASTAI_API_KEY": "k" * 64,
        "AGENT_DOCKER_STATE_DIR": str(folder),
        **changes,
    }


def test_a_redis_that_is_none_is_refused_before_anything_serves(tmp_path: Path) -> None:
    env = environment(tmp_path, REDIS_URL="redis://:pa55/canary@redis")
    file = tmp_path / "autoscaler.yaml"
    file.write_text("signal: {kind: http-json, url: http://q.test, depth: n}")
    with pytest.raises(SettingsError, match=r"^REDIS_URL is no URL of Redis") as caught:
        Service.of({**env, "AGENT_DOCKER_AUTOSCALER_FILE": str(file)}, Reports())
    assert "pa55" not in str(caught.value)


def test_a_signal_that_lacks_its_token_is_refused_before_anything_serves(tmp_path: Path) -> None:
    """Later it would be a traceback: __main__ prints what `of` raises, and no more."""
    file = tmp_path / "autoscaler.yaml"
    file.write_text("signal: {kind: http-json, url: http://q.test, depth: n, bearerEnv: NO_SUCH}")
    env = environment(tmp_path, AGENT_DOCKER_AUTOSCALER_FILE=str(file))
    with pytest.raises(SettingsError, match="NO_SUCH"):
        Service.of(env, Reports())


def test_a_book_comes_back_and_none_is_made_up(tmp_path: Path) -> None:
    book = Book(tmp_path / "deep" / "ledger.json")
    assert book.read() is None
    ledger = opened(NOW, nothing_ended=True)
    book.write(ledger)
    assert book.read() == ledger
    book.path.write_text("{")
    assert book.read() is None
    Book(tmp_path / "deep" / "ledger.json" / "none").write(ledger)
