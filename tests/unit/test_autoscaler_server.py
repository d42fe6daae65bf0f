"""What is told: status, metrics, health, log; over HTTP and in the records."""

import json
import time
from collections.abc import Iterator
from http.client import HTTPConnection
from typing import Any

import pytest

from autoscaler.actuator import Outcome
from autoscaler.model import Decision, Member, Observed, Phase, Reading
from autoscaler.problems import Problems, Topic
from autoscaler.records import Reports
from autoscaler.registrar import Synced
from autoscaler.server import StatusServer
from autoscaler.store import Mode
from contracts.errors import SettingsError
from operations.errors import Busy
from operations.recovery_plan import Recovery
from operations.stack import Applied
from operations.state import StackState
from tests.unit.autoscaler_fakes import NAMES, NOW, Log, slot_set


@pytest.fixture
def log() -> Log:
    return Log()


@pytest.fixture
def reports(log: Log) -> Reports:
    return Reports(log=log)  # type: ignore[arg-type]


@pytest.fixture
def server(reports: Reports) -> Iterator[StatusServer]:
    made = StatusServer(reports, "127.0.0.1:0", silence=1000)
    made.start()
    yield made
    made.stop()


def get(server: StatusServer, path: str) -> tuple[int, str]:
    host = server.url.removeprefix("http://")
    connection = HTTPConnection(host, timeout=30)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def problems(**found: str) -> Problems:
    made = Problems()
    for topic, text in found.items():
        made.add(Topic(topic), text)
    return made


# The server.


def test_metrics_are_served(server: StatusServer, reports: Reports) -> None:
    reports.event("given up", slot=NAMES[0])
    status, body = get(server, "/metrics")
    assert status == 200
    assert 'agent_docker_autoscaler_events_total{event="given up"} 1.0' in body
    assert 'agent_docker_autoscaler_slots{phase="ready"} 0.0' in body


def test_health_follows_the_problems(server: StatusServer, reports: Reports) -> None:
    assert get(server, "/healthz") == (200, '{"healthy": true, "problems": {}}\n')
    reports.problems(NOW, problems(router="it is away"))
    status, body = get(server, "/healthz")
    assert status == 503
    assert json.loads(body) == {"healthy": False, "problems": {"router": "it is away"}}
    reports.problems(NOW, problems())
    assert get(server, "/healthz")[0] == 200


def test_who_does_not_tick_is_not_healthy(server: StatusServer, reports: Reports) -> None:
    server._started -= 1001
    assert get(server, "/healthz")[0] == 503
    reports.problems(NOW, problems())
    assert get(server, "/healthz")[0] == 200
    reports.ticked = time.monotonic() - 1001
    assert get(server, "/healthz")[0] == 503


def test_status_is_the_last_one(server: StatusServer, reports: Reports) -> None:
    reports.follower(NOW)
    status, body = get(server, "/status")
    assert status == 200
    assert json.loads(body) == reports.status


def test_another_page_names_those_there_are(server: StatusServer) -> None:
    status, body = get(server, "/else?x=/status")
    assert status == 404
    assert json.loads(body)["pages"] == ["/metrics", "/healthz", "/status"]


def test_a_port_that_is_taken_is_named(server: StatusServer, reports: Reports) -> None:
    address = server.url.removeprefix("http://")
    with pytest.raises(SettingsError, match=f"^listen: {address} cannot be used: "):
        StatusServer(reports, address, silence=1)


@pytest.mark.parametrize("listen", ["127.0.0.1:99999", "[::1::]:0"])
def test_an_address_that_cannot_be_is_named(reports: Reports, listen: str) -> None:
    with pytest.raises(SettingsError) as caught:
        StatusServer(reports, listen, silence=1)
    assert caught.value.message.startswith(f"listen: {listen} cannot be used: ")


# The records.


def gauge(reports: Reports, name: str, /, **labels: str) -> float | None:
    return reports.metrics.registry.get_sample_value(f"agent_docker_autoscaler_{name}", labels)


def test_leading_and_following_are_told(reports: Reports) -> None:
    reports.mode(Mode(kind="fixed", count=3))
    assert (reports.status["leader"], reports.status["mode"]) == (True, "fixed at 3")
    assert gauge(reports, "leader") == 1
    reports.follower(NOW)
    assert reports.status["leader"] is False
    assert "mode" not in reports.status
    assert gauge(reports, "leader") == 0


def test_problems_are_logged_when_they_come_and_when_they_go(reports: Reports, log: Log) -> None:
    reports.problems(NOW, problems(router="away", cloud="503"))
    reports.problems(NOW, problems(router="away"))
    assert [line["topic"] for line in log.told("problem")] == ["router", "cloud"]
    assert log.told("problem is over") == [{"topic": "cloud"}]
    assert gauge(reports, "problem", topic="router") == 1
    assert gauge(reports, "problem", topic="cloud") == 0
    assert gauge(reports, "healthy") == 0
    assert gauge(reports, "last_tick_timestamp_seconds") == NOW


def decided(reports: Reports, queue: Reading | None) -> dict[str, Any]:
    members = (
        Member(slot=NAMES[0], phase=Phase.READY, cost_per_hour=0.3),
        Member(slot=NAMES[1], phase=Phase.STARTING, cost_per_hour=0.2),
    )
    decision = Decision(slots=1, victims=(NAMES[1],), rule="shrink", reason="depth 0 < 10")
    return reports.decision(Observed(at=NOW, queue=queue, members=members), decision, Mode())


def test_a_decision_is_a_record(reports: Reports, log: Log) -> None:
    found = decided(reports, Reading(depth=0, in_flight=2, at=NOW))
    assert found == {
        "at": "2023-11-14T22:13:20.000+00:00",
        "mode": "auto",
        "depth": 0,
        "inFlight": 2,
        "slots": 2,
        "ready": 1,
        "starting": 1,
        "costPerHour": 0.5,
        "wanted": 1,
        "victims": [NAMES[1]],
        "rule": "shrink",
        "reason": "depth 0 < 10",
    }
    assert log.told("decision") == [found]
    assert gauge(reports, "queue_depth") == 0
    assert gauge(reports, "queue_in_flight") == 2
    assert gauge(reports, "wanted_slots") == 1
    assert gauge(reports, "decisions_total", rule="shrink") == 1


def test_what_is_not_known_is_no_number(reports: Reports) -> None:
    assert decided(reports, None)["depth"] is None
    assert str(gauge(reports, "queue_depth")) == "nan"
    decided(reports, Reading(depth=5, at=NOW))
    assert gauge(reports, "queue_depth") == 5
    assert str(gauge(reports, "queue_in_flight")) == "nan"


@pytest.mark.parametrize(
    ("outcome", "kind", "details"),
    [
        (Outcome(name="update", error=Busy("x", hint="y")), "Busy", {"error": "x\nhint: y"}),
        (Outcome(name="recover", result=Recovery(slots=(), ended=(7,))), "done", {"ended": (7,)}),
        (Outcome(name="update", result=Applied(changed=False, state=StackState())), "done", {}),
        (
            Outcome(
                name="update",
                result=Applied(
                    changed=True,
                    state=StackState(outputs={"slots": slot_set(1).model_dump(mode="json")}),
                ),
            ),
            "done",
            {"slots": [NAMES[0]]},
        ),
    ],
)
def test_an_operation_is_told_with_its_end(
    reports: Reports, log: Log, outcome: Outcome, kind: str, details: dict[str, object]
) -> None:
    reports.ended(outcome)
    assert gauge(reports, "operations_total", name=outcome.name, outcome=kind) == 1
    ((_, line),) = log.lines
    assert details.items() <= line.items()


def test_boots_and_registrations_are_told(reports: Reports, log: Log) -> None:
    for outcome, seconds in (("ready", 40.0), ("ready", None), ("failed", 300.0)):
        reports.booted({"outcome": outcome, "seconds": seconds})
    assert gauge(reports, "boot_seconds_count") == 1
    reports.synced(Synced(registered=("a",), deregistered=("b", "c")))
    assert gauge(reports, "events_total", event="deregistered") == 2
    assert [line["endpoint"] for line in log.told("registered")] == ["a"]
