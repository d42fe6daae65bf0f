"""The gate: what counts as working, when waiting is over, and what is told."""

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import pytest

from contracts.outputs import ServiceOutput
from operations import gate as gate_module
from operations.daemon import Daemon, Probe, Seen, is_recent, seen_in
from operations.gate import Gate, judge

SEEN = Seen(
    name="x-redis",
    id="c1",
    image="redis:7",
    image_id="sha256:1",
    status="running",
    health="healthy",
    exit_code=0,
    out_of_memory=False,
    error="",
    restarts=0,
    started=datetime(2026, 1, 1, tzinfo=UTC),
    test=("CMD", "true"),
    networks=("platform",),
)
REDIS = ServiceOutput.model_validate(
    {
        "name": "redis",
        "container": "x-redis",
        "declared": "redis:7",
        "image": "redis:7",
        "owner": "me",
    }
)
WELL = Probe(healthy=True, said="PONG")
ILL = Probe(healthy=False, said="no answer")


def test_only_a_fresh_check_makes_a_service_well() -> None:
    assert judge(REDIS, SEEN, WELL).well
    # Docker's own "healthy" is of before.
    assert judge(REDIS, SEEN, ILL).reason == "no answer"
    assert not judge(REDIS, SEEN, None).well


@pytest.mark.parametrize(
    ("change", "reason", "hopeless"),
    [
        ({"status": "exited", "exit_code": 3}, "it is exited with 3", False),
        (
            {"status": "exited", "exit_code": 137, "out_of_memory": True},
            "it is exited with 137 (out of memory)",
            False,
        ),
        (
            {"status": "created", "error": "port is already allocated"},
            "it is created: port is already allocated",
            False,
        ),
        ({"restarts": 3, "exit_code": 1}, "it ended 3 times, last with 1", True),
        ({"networks": ()}, "it has no network", True),
    ],
)
def test_what_is_wrong_is_told(change: dict[str, Any], reason: str, hopeless: bool) -> None:  # noqa: FBT001
    verdict = judge(REDIS, replace(SEEN, **change), WELL)
    assert (verdict.reason, verdict.hopeless) == (reason, hopeless)


def test_ends_of_before_say_nothing() -> None:
    assert judge(REDIS, replace(SEEN, restarts=9), WELL, restarts=9).well
    assert not judge(REDIS, replace(SEEN, restarts=12), WELL, restarts=9).well


def test_a_missing_container_is_hopeless() -> None:
    assert judge(REDIS, None, None).hopeless


@dataclass
class FakeDaemon:
    """Answers of successive looks; the last one stays."""

    looks: list[dict[str, Seen]]
    probes: list[Probe] = field(default_factory=lambda: [WELL])
    is_local: bool = False
    said: str = "line 1\nline 2"

    def look(self, stack: str) -> dict[str, Seen]:
        assert stack == "nas"
        return self.looks.pop(0) if len(self.looks) > 1 else self.looks[0]

    def probe(self, _seen: Seen) -> Probe:
        return self.probes.pop(0) if len(self.probes) > 1 else self.probes[0]

    def logs(self, name: str, *, tail: int) -> str:
        assert (name, tail) == ("x-redis", 5)
        return self.said


class Time:
    def __init__(self) -> None:
        self.now = 0.0

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def gate(daemon: FakeDaemon, deadline: float = 5.0) -> tuple[Gate, Time]:
    time = Time()
    made = Gate(
        daemon=daemon,  # type: ignore[arg-type]
        stack="nas",
        deadline=deadline,
        clock=lambda: time.now,
        sleep=time.sleep,
    )
    return made, time


def test_it_waits_until_the_service_works() -> None:
    daemon = FakeDaemon([{"x-redis": SEEN}], [ILL, ILL, WELL])
    made, time = gate(daemon)
    assert made.wait([REDIS])["redis"].well
    assert 0 < time.now < 5


def test_it_ends_at_the_deadline_with_the_last_log_lines() -> None:
    made, time = gate(FakeDaemon([{"x-redis": SEEN}], [ILL]))
    verdict = made.wait([REDIS])["redis"]
    assert verdict.reason == "no answer\n    line 1\n    line 2"
    assert time.now >= 5


def test_it_does_not_wait_where_that_helps_nothing() -> None:
    made, time = gate(FakeDaemon([{}]))
    assert made.wait([REDIS])["redis"].reason == "it has no container"
    assert time.now == 0


def test_a_service_that_ends_again_and_again_is_given_up() -> None:
    looks = [{"x-redis": replace(SEEN, restarts=n, status="restarting")} for n in (5, 6, 7, 8)]
    made, time = gate(FakeDaemon(looks), deadline=1000)
    assert made.wait([REDIS])["redis"].reason.startswith("it ended 3 times")
    assert time.now < 10


def test_what_ends_right_after_its_check_is_looked_at_again() -> None:
    calm, again = {"x-redis": SEEN}, {"x-redis": replace(SEEN, restarts=1)}
    # It answered, ended, and answered once more; then it stays.
    made, time = gate(FakeDaemon([calm, calm, again, again]))
    assert made.wait([REDIS], settle=True)["redis"].well
    assert time.now >= 3
    # It answers whenever it is asked, and ends in between.
    ends = [{"x-redis": replace(SEEN, restarts=n)} for n in (0, 0, 1, 3)]
    made, _ = gate(FakeDaemon(ends))
    assert made.wait([REDIS], settle=True)["redis"].reason.startswith("it ended 3 times")


def test_nobody_waits_for_what_was_not_started() -> None:
    made, time = gate(FakeDaemon([{"x-redis": SEEN}]))
    assert made.wait([REDIS])["redis"].well
    assert time.now == 0


def test_progress_is_told() -> None:
    told: list[tuple[int, int]] = []
    made, _ = gate(FakeDaemon([{"x-redis": SEEN}], [ILL, WELL]))
    replace(made, on_progress=lambda well, count: told.append((well, count))).wait([REDIS])
    assert told == [(0, 1), (1, 1)]


def test_a_published_port_must_answer_where_it_can_be_reached(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[tuple[str, int]] = []

    def answers(address: str, port: int) -> bool:
        asked.append((address, port))
        return False

    monkeypatch.setattr(gate_module, "answers", answers)
    service = REDIS.model_copy(update={"port": 6379, "address": "127.0.0.1"})
    far, _ = gate(FakeDaemon([{"x-redis": SEEN}]))
    assert far.once([service])["redis"].well
    near, _ = gate(FakeDaemon([{"x-redis": SEEN}], is_local=True))
    assert near.once([service])["redis"].reason == "nothing answers on 127.0.0.1:6379"
    assert asked == [("127.0.0.1", 6379)]


def test_a_record_of_docker_is_read() -> None:
    row = {
        "Name": "/x-redis",
        "Id": "c1",
        "Image": "sha256:1",
        "RestartCount": 2,
        "Config": {"Image": "redis:7", "Healthcheck": {"Test": ["CMD", "true"]}},
        "State": {
            "Status": "running",
            "Health": {"Status": "starting"},
            "ExitCode": 0,
            "OOMKilled": False,
            "Error": "",
            "StartedAt": "2026-01-01T00:00:01.123456789Z",
        },
        "NetworkSettings": {"Networks": {"b": {}, "a": {}}},
    }
    seen = seen_in(row)
    assert (seen.name, seen.health, seen.restarts, seen.networks) == (
        *("x-redis", "starting", 2),
        ("a", "b"),
    )
    assert seen.started == datetime(2026, 1, 1, 0, 0, 1, 123456, tzinfo=UTC)
    never = {**row["State"], "StartedAt": "0001-01-01T00:00:00Z", "Health": None}  # type: ignore[dict-item]
    assert seen_in({**row, "State": never}).started is None


@pytest.mark.parametrize(
    ("api", "expected"),
    [("1.41", True), ("1.52", True), ("2.0", True), ("1.40", False), ("1.9", False), ("", False)],
)
def test_a_daemon_must_be_recent(api: str, expected: bool) -> None:  # noqa: FBT001
    assert is_recent(api) is expected


def test_a_daemon_far_away_is_not_asked_for_its_ports() -> None:
    assert Daemon(url="unix:///run/docker.sock").is_local
    assert not Daemon(url="ssh://nas").is_local
