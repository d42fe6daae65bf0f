"""What the emulator accepts in a create request."""

import pytest

from localcloud.vastai.rentals.lifecycle import docker_flags
from localcloud.vastai.rentals.order import parse_order
from localcloud.vastai.rentals.rental import Order
from localcloud.vastai.wire import ApiError, Json, as_id, flag


def test_the_smallest_order() -> None:
    assert parse_order({"image": "ubuntu:22.04"}) == Order(image="ubuntu:22.04")


def test_what_the_command_line_client_sends() -> None:
    order = parse_order(
        {
            "client_id": "me",
            "image": "ubuntu:22.04",
            "env": {"A": "b", "-p 8080:8080": "1"},
            "price": None,
            "disk": 20.0,
            "label": "foo",
            "extra": None,
            "onstart": None,
            "image_login": None,
            "cancel_unavail": False,
            "template_hash_id": None,
            "runtype": "ssh_direc ssh_proxy",
        }
    )
    assert order == Order(
        image="ubuntu:22.04",
        env=(("A", "b"), ("-p 8080:8080", "1")),
        disk=20.0,
        label="foo",
        runtype="ssh_direc ssh_proxy",
        cancel_unavail=False,
    )


def test_a_bid_is_not_cancelled_when_nothing_is_free() -> None:
    assert parse_order({"image": "a", "price": 0.2}).cancel_unavail is False
    assert parse_order({"image": "a", "target_state": "stopped"}).cancel_unavail is False
    assert parse_order({"image": "a", "price": 0.2}).price == 200_000


def test_arguments_mean_runtype_args() -> None:
    assert parse_order({"image": "a", "args": ["serve"]}).runtype == "args"
    assert parse_order({"image": "a", "args_str": "serve now"}).args == ("serve", "now")


def test_a_template_stands_for_an_image() -> None:
    assert parse_order({"template_hash_id": "abc"}).image == "template/abc"


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        ({}, "image is required"),
        ({"image": 3}, "image must be a string"),
        ({"image": "x" * 1025}, "at most 1024"),
        ({"image": "a", "env": "-e A=b"}, "env must be an object"),
        ({"image": "a", "env": {"A": "x" * 256}}, "at most 256"),
        ({"image": "a", "env": {f"{n:03}": "x" * 250 for n in range(200)}}, "32768"),
        ({"image": "a", "env": {f"-p {n}:{n}": "1" for n in range(65)}}, "64 ports"),
        ({"image": "a", "disk": 7.9}, "at least 8"),
        ({"image": "a", "disk": True}, "disk must be a number"),
        ({"image": "a", "disk": "20"}, "disk must be a number"),
        ({"image": "a", "label": "x" * 257}, "at most 256"),
        ({"image": "a", "onstart": "x" * 4000, "args": ["y" * 97]}, "at most 4096"),
        ({"image": "a", "args": "serve"}, "args must be an array"),
        ({"image": "a", "price": 0.0001}, "invalid_price"),
        ({"image": "a", "price": 129}, "invalid_price"),
        ({"image": "a", "target_state": "frozen"}, "target_state"),
        ({"image": "a", "cancel_unavail": "yes"}, "true or false"),
        ({"image": "a", "runtype": "vnc"}, "runtype"),
        ({"image": "a", "image_login": "user pass registry"}, "image_login"),
        ({"image": "a", "volume_info": 3}, "volume_info must be an object"),
    ],
)
def test_refusals_name_the_field(body: Json, complaint: str) -> None:
    with pytest.raises(ApiError, match=complaint) as refusal:
        parse_order(body)
    assert refusal.value.status == 400
    assert refusal.value.body["success"] is False


def test_ids_may_be_text() -> None:
    assert as_id("7", "id") == 7
    with pytest.raises(ApiError, match="id must be an integer, got True"):
        as_id(True, "id")  # noqa: FBT003 - the value under test


def test_flags_have_a_default() -> None:
    assert flag({}, "x", default=True)
    assert not flag({"x": False}, "x", default=True)


def test_docker_flags_become_an_object() -> None:
    assert docker_flags("-e A=b -p 80:80") == {"A": "b", "-p 80:80": "1"}
