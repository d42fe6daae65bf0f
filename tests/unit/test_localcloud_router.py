"""The router's table and account: who gets the next job, and where each one is."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from localcloud.router.__main__ import settings as settings_of
from localcloud.router.jobs import Account, Job, parsed
from localcloud.router.journal import Journal
from localcloud.router.providers import FIRST_PAUSE, LONGEST_PAUSE, Registration, Registry
from localcloud.router.settings import Settings

BODY = {
    "type": "ollama",
    "endpoint": "http://127.64.0.1:11434",
    "models": ["llama3.2", "qwen3:8b"],
    "gpu_type": "RTX 4090",
    "cost_per_hour": 0.42,
}


def registration(number: int = 1, **changes: object) -> Registration:
    body = {**BODY, "endpoint": f"http://127.64.0.{number}:11434", **changes}
    return Registration.model_validate_json(json.dumps(body))


def registry(count: int = 1, parallel: int = 2) -> Registry:
    found = Registry(parallel)
    for number in range(1, count + 1):
        found.add(registration(number))
    return found


def endpoint(number: int) -> str:
    return f"http://127.64.0.{number}:11434"


# Registrations.


@pytest.mark.parametrize(
    "change",
    [
        {"endpoint": "127.64.0.1:11434"},
        {"endpoint": "ftp://127.64.0.1"},
        {"endpoint": "http://host:port"},
        {"endpoint": "http://"},
        {"endpoint": "http://host:0"},
        {"models": "llama3.2"},
        {"models": [""]},
        {"models": [3]},
        {"type": ""},
        {"gpu_type": None},
        {"cost_per_hour": -1},
        {"cost_per_hour": "0.42"},
        {"cost_per_hour": True},
        {"speed": 1},
    ],
)
def test_bad_registrations_are_refused(change: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        registration(**change)


@pytest.mark.parametrize("field", list(BODY))
def test_every_field_is_required(field: str) -> None:
    body = {name: value for name, value in BODY.items() if name != field}
    with pytest.raises(ValidationError, match=field):
        Registration.model_validate_json(json.dumps(body))


# The table.


def test_a_row_repeats_the_registration() -> None:
    table = registry()
    table.begin(None, 0.0)
    assert table.rows() == [{**BODY, "in_flight": 1, "utilization": 0.5, "draining": False}]


def test_registering_twice_changes_nothing_and_replacing_keeps_what_is_in_flight() -> None:
    table = registry()
    table.begin(None, 0.0)
    assert not table.add(registration())
    assert table.add(registration(cost_per_hour=1))
    [row] = table.rows()
    assert (row["in_flight"], row["cost_per_hour"]) == (1, 1.0)


def test_the_least_utilized_comes_first_and_equals_take_turns() -> None:
    table = registry(3)
    order = [table.begin(None, 0.0) for _ in range(7)]
    taken = [row.registration.endpoint if row else None for row in order]
    assert taken[:3] == [endpoint(1), endpoint(2), endpoint(3)] == taken[3:6]
    assert taken[6] is None
    assert not table.has_room(0.0)
    assert order[1] is not None
    table.end(order[1], 0.0, failed=False)
    assert table.begin(None, 0.0) is order[1]


def test_a_model_goes_where_it_is() -> None:
    table = Registry(4)
    table.add(registration(1, models=["phi:mini"]))
    table.add(registration(2, models=["llama3"]))
    table.add(registration(3, models=[]))
    found = [table.begin(model, 0.0) for model in ("llama3:latest", "phi:mini", "phi", None)]
    numbers = [row.registration.endpoint if row else None for row in found]
    assert numbers == [endpoint(2), endpoint(1), None, endpoint(2)]


def test_a_drained_provider_gets_nothing_and_leaves_when_it_is_idle() -> None:
    table = registry()
    row = table.begin(None, 0.0)
    assert row is not None
    assert table.remove(endpoint(1))
    assert table.remove(endpoint(1))
    assert not table.has_room(0.0)
    assert table.begin(None, 0.0) is None
    assert [row["draining"] for row in table.rows()] == [True]
    table.end(row, 0.0, failed=False)
    assert table.rows() == []
    assert not table.remove(endpoint(1))


def test_an_idle_provider_leaves_at_once() -> None:
    table = registry()
    assert table.remove(endpoint(1))
    assert table.rows() == []


def test_registering_again_ends_a_drain() -> None:
    table = registry()
    row = table.begin(None, 0.0)
    assert row is not None
    table.remove(endpoint(1))
    assert table.add(registration())
    assert table.begin(None, 0.0) is row
    table.end(row, 0.0, failed=False)
    assert [row["in_flight"] for row in table.rows()] == [1]


def test_what_was_in_flight_does_not_touch_the_row_after_a_forget() -> None:
    table = registry()
    row = table.begin(None, 0.0)
    assert row is not None
    assert table.forget() == 1
    table.add(registration())
    table.remove(endpoint(1))
    table.add(registration())
    table.end(row, 0.0, failed=True)
    assert [row["in_flight"] for row in table.rows()] == [0]
    assert table.has_room(0.0)


def test_who_fails_gets_a_pause_that_grows_and_ends() -> None:
    table = registry(parallel=1)
    now, pauses = 0.0, []
    for _ in range(30):
        row = table.begin(None, now)
        assert row is not None
        table.end(row, now, failed=True)
        assert not table.has_room(now)
        pauses.append(row.paused_until - now)
        now = row.paused_until
    assert pauses[0] == FIRST_PAUSE
    assert pauses[-1] == LONGEST_PAUSE
    assert pauses == sorted(pauses)
    row = table.begin(None, now)
    assert row is not None
    table.end(row, now, failed=False)
    assert row.failures == 0
    assert table.has_room(now)


steps = st.lists(st.tuples(st.sampled_from(["add", "remove", "begin", "end"]), st.integers(1, 3)))


@given(steps)
def test_no_history_hands_work_to_a_drained_one_or_too_much_to_any(
    history: list[tuple[str, int]],
) -> None:
    table, parallel, running, gone = Registry(2), 2, [], {1, 2, 3}
    for step, number in history:
        if step == "add":
            table.add(registration(number))
            gone.discard(number)
        elif step == "remove":
            assert table.remove(endpoint(number)) >= (number not in gone)
            gone.add(number)
        elif step == "begin" and (row := table.begin(None, 0.0)):
            assert row.registration.endpoint not in {endpoint(each) for each in gone}
            running.append(row)
        elif step == "end" and running:
            table.end(running.pop(number % len(running)), 0.0, failed=False)
        rows = {str(row["endpoint"]): row for row in table.rows()}
        assert all(0 <= int(str(row["in_flight"])) <= parallel for row in rows.values())
        assert sum(int(str(row["in_flight"])) for row in rows.values()) == len(running)
        assert {where for where, row in rows.items() if not row["draining"]} == {
            endpoint(each) for each in {1, 2, 3} - gone
        }


# Jobs.


def test_a_job_is_read() -> None:
    raw = json.dumps({"id": "a", "at": 3, "model": "m", "prompt": "p", "more": 1})
    assert parsed(raw) == Job(raw=raw, id="a", at=3, model="m", prompt="p")
    assert parsed('{"id": 7}') == Job(raw='{"id": 7}', id="7", at=None, model=None, prompt="")


@pytest.mark.parametrize("at", ["1e999", "NaN", "-1", '"x"', "1" + "0" * 400, "null"])
def test_a_time_that_is_none_is_left_out(at: str) -> None:
    job = parsed('{"id": 1, "at": ' + at + "}")
    assert job is not None
    assert job.at is None


@pytest.mark.parametrize(
    "raw",
    ["", "{", "3", "[]", "{}", '{"id": true}', '{"id": null}', "[" * 99_999, '{"id": "\\ud800"}'],
)
def test_what_is_no_job_is_told_from_one(raw: str) -> None:
    assert parsed(raw) is None


# The account.


def job(number: int) -> Job:
    found = parsed(json.dumps({"id": str(number), "at": 1.0}))
    assert found is not None
    return found


def test_every_job_is_somewhere() -> None:
    account = Account()
    for number in range(5):
        account.take(job(number).raw)
    account.dispatch(job(0), "a")
    account.fail(job(0), "a", "ConnectError")
    assert account.as_json()["in_flight"] == 5
    account.retry(job(0).raw)
    account.take(job(0).raw)
    account.dispatch(job(0), "b")
    account.finish(job(0), "b", 2.0, 3.0)
    account.give_back(job(1).raw)
    account.reject(job(2).raw)
    assert account.as_json() == {
        "in_flight": 2,
        "done": 1,
        "retried": 1,
        "rejected": 1,
        "lost": 0,
        "handed_to_draining": 0,
    }
    assert account.finished.since(0) == (
        [
            {
                "n": 0,
                "id": "0",
                "enqueued_at": 1.0,
                "started_at": 2.0,
                "done_at": 3.0,
                "endpoint": "b",
                "tries": 2,
            }
        ],
        1,
    )
    account.held.clear()
    assert account.lost == 2


def test_the_account_tells_on_a_dispatch_after_a_deregistration() -> None:
    account = Account()
    account.registered("a", changed=True)
    account.registered("a", changed=False)
    account.dispatch(job(1), "a")
    account.deregistered("a")
    account.dispatch(job(2), "a")
    account.registered("a", changed=True)
    account.dispatch(job(3), "a")
    assert account.handed_to_draining == 1
    events, _ = account.events.since(0)
    assert [event["event"] for event in events] == [
        "registered",
        "dispatch",
        "deregistered",
        "dispatch",
        "registered",
        "dispatch",
    ]


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("localcloud.router.jobs.KEPT", 3)
    account = Account()
    for number in range(9):
        account.dispatch(job(number), str(number))
        account.deregistered(str(number))
    assert len(account._tries) == len(account._gone) == 3


def test_a_journal_keeps_the_last_and_their_numbers() -> None:
    journal = Journal(kept=3)
    assert journal.since(0) == ([], 0)
    for number in range(5):
        journal.add(value=number)
    assert [row["n"] for row in journal.since(0)[0]] == [2, 3, 4]
    assert journal.since(4) == ([{"n": 4, "value": 4}], 5)
    assert journal.since(5) == journal.since(99) == ([], 5)
    assert len(journal.since(-7)[0]) == 3


# Options.


def test_options(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REDIS_URL", raising=False)
    with pytest.raises(SystemExit):
        settings_of([])
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:1/0")
    assert settings_of([]) == Settings(redis_url="redis://127.0.0.1:1/0")
    chosen = settings_of(["--redis", "redis://127.0.0.1:2", "--queue", "q", "--parallel", "8"])
    assert chosen == Settings(redis_url="redis://127.0.0.1:2", queue="q", parallel=8)


@pytest.mark.parametrize(
    "wrong", [{"queue": ""}, {"parallel": 0}, {"request_seconds": 0.0}, {"request_seconds": -1.0}]
)
def test_bad_settings_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        Settings(redis_url="redis://127.0.0.1:1", **wrong)
