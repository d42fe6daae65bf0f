"""Nothing secret and nothing endless leaves an operation."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from operations.redaction import Redactor, Tail, passwords

secrets = st.lists(st.text(alphabet="abXY-_", min_size=6, max_size=12), min_size=1, max_size=4)


@given(secrets, st.data())
def test_no_secret_is_left_wherever_it_stands(found: list[str], data: st.DataObject) -> None:
    parts = data.draw(st.lists(st.sampled_from([*found, " ", "text ", "\n"]), max_size=30))
    text = Redactor(found).clean("".join(parts))
    assert not [secret for secret in found if secret in text]


def test_the_longer_of_two_secrets_goes_first() -> None:
    assert Redactor(["abcdef", "abcdef-more"]).clean("abcdef-more") == "***"


def test_what_is_too_short_to_be_a_secret_stays() -> None:
    assert Redactor(["", "  ", "abc"]).clean("abc def") == "abc def"


def test_the_spaces_around_a_key_are_not_part_of_it() -> None:
    assert Redactor([" a-secret-key\n"]).clean("key=a-secret-key") == "key=***"


@given(st.text(min_size=0, max_size=9000))
def test_the_length_is_bounded(text: str) -> None:
    assert len(Redactor([]).clean(text)) <= 2002


def test_a_secret_across_the_cut_is_gone_too() -> None:
    text = Redactor(["a-secret-key"]).clean("x" * 1995 + "a-secret-key")
    assert "a-sec" not in text


def test_a_tail_keeps_the_last_lines_clean() -> None:
    tail = Tail(Redactor(["a-secret-key"]), lines=2)
    for line in ("first\n", "with a-secret-key\n", "last\n"):
        tail.add(line)
    assert tail.text == "with ***\nlast"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgres://user:canary-1@db:5432/state", "canary-1"),
        ("postgres://user:canary%2F1@db/state", "canary%2F1"),
        ("postgres://user:canary%2f1@db/state", "canary/1"),
        # As Go's net/url writes what it has read.
        ("postgres://user:canary%2f1!@db/state", "canary%2F1%21"),
        ("postgres://user:canary/1@db/state", "canary/1"),
        ("postgres://user:canary@1@db/state", "canary@1"),
        ("postgres://user:canary-1@db/state?application_name=me@here", "canary-1"),
        ("postgres://:canary-1@db/state", "canary-1"),
        ("postgres://db/state?user=me&password=canary-1&sslmode=off", "canary-1"),
    ],
)
def test_the_password_of_a_url_is_found_in_every_form(url: str, shown: str) -> None:
    text = f'unable to open state database "postgres://user:{shown}@db:5432/state"'
    assert "canary" not in Redactor(passwords(url)).clean(text)


@pytest.mark.parametrize(
    "url",
    [
        "file:///home/a:b@c/state",
        "file://~",
        "s3://bucket?endpoint=http://minio:9000/a@b&region=eu",
        "s3://bucket/folder@2",
        "https://api.pulumi.com",
        "postgres://user@db/state",
        "azblob://box",
        "",
    ],
)
def test_a_url_without_a_password_stays_readable(url: str) -> None:
    assert passwords(url) == ()
