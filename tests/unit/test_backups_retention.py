"""Which backups stay, and when the last good one is too old."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from contracts.backups import BackupSettings, Fact, Manifest, backup_id, mismatches
from operations.backups.retention import check_is_due, hours, kept, last_good, stale

NOW = datetime(2026, 11, 25, 3, 0, tzinfo=UTC)


def settings(**more: object) -> BackupSettings:
    return BackupSettings.model_validate({"directory": "/srv/backups", **more})


def manifest(ago: timedelta, service: str = "redis", **more: object) -> Manifest:
    taken = NOW - ago
    document = {
        "id": backup_id(taken),
        "service": service,
        "kind": "redis",
        "image": "redis:7",
        "image_id": "sha256:1",
        "taken": taken,
        "files": (),
        "facts": {},
        **more,
    }
    return Manifest.model_validate(document)


def days(*numbers: float) -> list[Manifest]:
    return [manifest(timedelta(days=number)) for number in numbers]


def test_days_weeks_and_months_are_kept_by_their_last_one() -> None:
    made = days(*range(400))
    found = kept(made, settings(keepDaily=7, keepWeekly=4, keepMonthly=6))
    by_rule = {
        rule: [m.taken.date().isoformat() for m in made if rule in found.get(m.id, ())]
        for rule in ("newest", "daily", "weekly", "monthly")
    }
    assert by_rule["newest"] == ["2026-11-25"]
    assert by_rule["daily"] == [f"2026-11-{day}" for day in range(25, 18, -1)]
    # The last day of each ISO week: Sundays before the running week.
    assert by_rule["weekly"] == ["2026-11-25", "2026-11-22", "2026-11-15", "2026-11-08"]
    assert by_rule["monthly"] == [
        *("2026-11-25", "2026-10-31", "2026-09-30", "2026-08-31", "2026-07-31", "2026-06-30"),
    ]
    assert len(found) == 14


def test_several_of_a_day_leave_one() -> None:
    made = days(0, 0.01, 0.02, 1, 1.01)
    assert set(kept(made, settings(keepDaily=2, keepWeekly=0, keepMonthly=0))) == {
        made[0].id,
        made[3].id,
    }


def test_the_newest_stays_whatever_the_rules_say() -> None:
    made = days(100, 200)
    found = kept(made, settings(keepDaily=0, keepWeekly=0, keepMonthly=0))
    assert found == {made[0].id: ("newest",)}


def test_the_last_verified_one_stays() -> None:
    made = [*days(0, 1), manifest(timedelta(days=90), verified=NOW), *days(100)]
    found = kept(made, settings(keepDaily=2, keepWeekly=0, keepMonthly=0))
    assert found[made[2].id] == ("verified",)
    assert made[3].id not in found


def test_a_failed_one_takes_no_place() -> None:
    made = [
        manifest(timedelta(0), failed="broken"),
        *days(0.01, 1),
        manifest(timedelta(2), failed="x"),
    ]
    found = kept(made, settings(keepDaily=2, keepWeekly=0, keepMonthly=0))
    assert set(found) == {one.id for one in made[:3]}


@given(
    st.lists(st.floats(min_value=0, max_value=2000), min_size=1, max_size=60, unique=True),
    st.integers(0, 10),
    st.integers(0, 10),
    st.integers(0, 10),
)
def test_never_more_than_the_rules_allow(
    ages: list[float], daily: int, weekly: int, monthly: int
) -> None:
    made = days(*ages)
    found = kept(made, settings(keepDaily=daily, keepWeekly=weekly, keepMonthly=monthly))
    assert 1 <= len(found) <= 1 + daily + weekly + monthly
    assert max(made, key=lambda one: one.taken).id in found
    # What one run keeps, the next keeps too.
    left = [one for one in made if one.id in found]
    assert kept(left, settings(keepDaily=daily, keepWeekly=weekly, keepMonthly=monthly)) == found


def test_stale_says_why() -> None:
    young, old = manifest(timedelta(hours=3)), manifest(timedelta(hours=30))
    assert stale([old, young], "redis", NOW, settings()) is None
    assert stale([old], "redis", NOW, settings()) == (
        "the last good backup of redis is 30.0 h old, 24 h are allowed"
    )
    assert stale([old], "redis", NOW, settings(maxAgeHours=48)) is None
    assert stale([young], "postgres", NOW, settings()) == "postgres has no good backup"
    failed = manifest(timedelta(hours=1), failed="5 instead of 6")
    assert stale([failed, old], "redis", NOW, settings()) is not None


def test_a_backup_of_the_future_is_none() -> None:
    assert stale([manifest(timedelta(hours=-2))], "redis", NOW, settings()) is not None


def test_the_last_good_one_of_each_service() -> None:
    a, b = manifest(timedelta(hours=2)), manifest(timedelta(hours=1), failed="broken")
    other = manifest(timedelta(days=9), "postgres")
    assert last_good([b, a, other]) == {"redis": a, "postgres": other}


def test_a_restore_test_is_due() -> None:
    assert check_is_due([], NOW, settings())
    assert check_is_due(days(1), NOW, settings())
    tested = manifest(timedelta(days=40), verified=NOW - timedelta(days=20))
    assert not check_is_due([tested], NOW, settings())
    assert check_is_due([tested], NOW, settings(verifyEveryDays=10))


def test_facts_are_bounds() -> None:
    facts = {"keys in db0": Fact.of(3, 5), "rows": Fact.of(2)}
    assert mismatches(facts, {"keys in db0": 4, "rows": 2}) == []
    assert mismatches(facts, {"keys in db0": 6, "more": 1}) == [
        "keys in db0: 6 instead of 3 to 5",
        "rows: none instead of 2",
        "more: 1, none expected",
    ]


def test_ids_sort_by_time() -> None:
    ids = [one.id for one in days(3, 2, 1, 0)]
    assert ids == sorted(ids)
    assert ids[-1] == "20261125-030000-000"


def test_ages_are_short() -> None:
    assert hours(timedelta(minutes=90)) == "1.5 h"
    assert hours(timedelta(days=3)) == "3 d"
