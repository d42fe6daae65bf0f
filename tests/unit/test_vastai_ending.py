"""A machine is ended when a read proves it gone, and not before."""

import httpx
import pytest

from providers.vastai.errors import (
    Ambiguous,
    AuthFailed,
    RateLimited,
    Rejected,
    Unavailable,
    VastError,
)
from tests.unit.test_vastai_cloud import FakeCloud, wanted


@pytest.fixture
def rented(cloud: FakeCloud) -> FakeCloud:
    cloud.add(501)
    return cloud


def test_gone_is_proved_by_a_read(rented: FakeCloud) -> None:
    rented.renter().end(501)
    assert (rented.live, rented.calls) == ({}, ["destroy", "show"])


def test_an_unknown_instance_is_done(cloud: FakeCloud) -> None:
    cloud.renter().end(501)
    assert cloud.calls == ["destroy"]


def test_the_update_learns_of_it(rented: FakeCloud) -> None:
    renter = rented.renter()
    renter.session.instances()
    renter.end(501, avoid_machine=101)
    assert renter.session.instances() == []
    assert renter.session.choice(wanted()).ranked[-1].machine_id == 101


@pytest.mark.parametrize("fault", ["lost", "timeout", "503", "429", "unreachable", "array"])
def test_a_destroy_that_was_not_done_is_sent_again(rented: FakeCloud, fault: str) -> None:
    rented.faults["destroy"] = [fault, fault]
    rented.renter().end(501)
    assert (rented.live, rented.count("destroy")) == ({}, 3)


@pytest.mark.parametrize("fault", ["lost_after", "503_after", "timeout_after"])
def test_a_destroy_whose_reply_was_lost_is_not_needed_twice(rented: FakeCloud, fault: str) -> None:
    rented.faults["destroy"] = [fault]
    rented.renter().end(501)
    assert (rented.live, rented.calls) == ({}, ["destroy", "show"])


def test_one_that_lives_on_is_destroyed_again(rented: FakeCloud) -> None:
    real, left = rented._destroy, [2]

    def idle(contract: int) -> httpx.Response:
        left[0] -= 1
        return real(contract) if left[0] < 0 else httpx.Response(200, json={"success": True})

    rented._destroy = idle  # type: ignore[method-assign]
    rented.renter().end(501)
    assert (rented.live, rented.count("destroy"), rented.clock.slept) == ({}, 3, [1.0, 1.0])


@pytest.mark.parametrize("where", ["destroy", "show"])
def test_a_key_that_is_refused_proves_nothing(rented: FakeCloud, where: str) -> None:
    rented.faults[where] = ["auth_404"]
    renter = rented.renter()
    renter.session.instances()
    with pytest.raises(AuthFailed):
        renter.end(501)
    assert [item.id for item in renter.session.instances()] == [501]


@pytest.mark.parametrize("fault", ["503", "429", "lost"])
def test_a_read_that_fails_proves_nothing(rented: FakeCloud, fault: str) -> None:
    rented.faults["show"] = [fault] * 4
    rented.renter().end(501)
    assert (rented.live, rented.count("destroy")) == ({}, 2)


def test_a_refusal_ends_it_at_once(rented: FakeCloud) -> None:
    rented.faults["destroy"] = ["refused"]
    with pytest.raises(Rejected):
        rented.renter().end(501)
    assert rented.count("destroy") == 1


@pytest.mark.parametrize(
    ("fault", "error"), [("lost", Ambiguous), ("429", RateLimited), ("unreachable", Unavailable)]
)
def test_at_the_deadline_the_last_error_is_told(
    rented: FakeCloud, fault: str, error: type[VastError]
) -> None:
    rented.faults["destroy"] = [fault] * 99
    begun = rented.clock()
    with pytest.raises(error):
        rented.renter().end(501)
    assert 60 <= rented.clock() - begun <= 62


def test_one_that_never_goes_stays_ours(rented: FakeCloud) -> None:
    rented._destroy = lambda _: httpx.Response(200, json={})  # type: ignore[method-assign]
    with pytest.raises(Unavailable, match="501 still lives 60 s after its destroy"):
        rented.renter().end(501)


def test_a_long_wait_that_was_told_does_not_pass_the_deadline(rented: FakeCloud) -> None:
    def busy(_contract: int) -> httpx.Response:
        return httpx.Response(429, headers={"Retry-After": "3600"})

    rented._destroy = busy  # type: ignore[method-assign]
    begun = rented.clock()
    with pytest.raises(Unavailable):
        rented.renter().end(501)
    assert rented.clock() - begun == pytest.approx(60.0)
