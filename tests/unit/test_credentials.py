"""Which key goes where; a dummy key never leaves this machine, a real one never comes offline."""

import pytest

from contracts.errors import SettingsError
from providers.vastai.credentials import DEFAULT_URL, Credentials

REAL = "f00d" * 16
DUMMY = "local-key"
LOCAL = "http://127.0.0.1:8123"


def read(**env: str) -> Credentials:
    return Credentials.read(env)


class TestTheKey:
    @pytest.mark.parametrize("name", ["VASTAI_API_KEY", "VAST_API_KEY"])
    def test_either_name_will_do(self, name: str) -> None:
        found = read(**{name: f" {REAL}\n"})
        assert (found.key, found.url, found.paced) == (REAL, DEFAULT_URL, True)

    def test_both_names_with_one_key(self) -> None:
        assert read(VASTAI_API_KEY=REAL, VAST_API_KEY=REAL).key == REAL

    def test_two_different_keys_are_refused_unseen(self) -> None:
        with pytest.raises(SettingsError, match="hold different keys") as caught:
            read(VASTAI_API_KEY=REAL, VAST_API_KEY="other")
        assert REAL not in str(caught.value)

    @pytest.mark.parametrize("blank", ["", " ", "\n"])
    def test_a_blank_key_is_none(self, blank: str) -> None:
        with pytest.raises(SettingsError, match="VASTAI_API_KEY is not set"):
            read(VASTAI_API_KEY=blank, VAST_API_KEY=blank)

    def test_a_blank_name_does_not_hide_the_other(self) -> None:
        assert read(VASTAI_API_KEY=" ", VAST_API_KEY=REAL).key == REAL

    @pytest.mark.parametrize("bad", ["two words", "tab\tbed", "line\nbreak", "schlüssel", "a\x00b"])
    def test_what_no_header_can_carry_is_refused_unseen(self, bad: str) -> None:
        with pytest.raises(SettingsError, match="characters that no key does") as caught:
            read(VASTAI_API_KEY=bad)
        assert bad not in str(caught.value)

    def test_it_is_not_printed(self) -> None:
        assert REAL not in repr(read(VASTAI_API_KEY=REAL))


class TestTheAddress:
    @pytest.mark.parametrize("url", ["https://vast.test/", "https://vast.test:8443", LOCAL])
    def test_it_can_be_named(self, url: str) -> None:
        assert read(VASTAI_API_KEY=REAL, VAST_URL=url).url == url.rstrip("/")

    @pytest.mark.parametrize("url", ["", "  "])
    def test_a_blank_one_is_the_default(self, url: str) -> None:
        assert read(VASTAI_API_KEY=REAL, VAST_URL=url).url == DEFAULT_URL

    @pytest.mark.parametrize(
        "url",
        [
            "vast.test",
            "http://vast.test",
            "ftp://127.0.0.1",
            "https://",
            "https://user@vast.test",
            "https://[::1",
            "https://vast.test:port",
            "https://vast.test:99999",
        ],
    )
    def test_the_key_never_travels_in_the_clear_or_nowhere(self, url: str) -> None:
        with pytest.raises(SettingsError, match="VAST_URL must be https"):
            read(VASTAI_API_KEY=REAL, VAST_URL=url)


class TestTheLocalProfile:
    @pytest.mark.parametrize(
        "url", [LOCAL, "http://localhost:1", "http://[::1]:1", "https://127.9.9.9"]
    )
    def test_a_dummy_key_reaches_this_machine(self, url: str) -> None:
        assert read(VASTAI_API_KEY=DUMMY, VAST_URL=url, AGENT_DOCKER_OFFLINE="1").key == DUMMY

    @pytest.mark.parametrize(
        "url",
        [
            "",
            "https://127.0.0.1.vast.test",
            "https://localhost.vast.test",
            "https://10.0.0.1",
            "https://0.0.0.0",
        ],
    )
    def test_a_dummy_key_goes_nowhere_else(self, url: str) -> None:
        with pytest.raises(SettingsError, match="dummy key must not be sent"):
            read(VASTAI_API_KEY=DUMMY, VAST_URL=url)

    @pytest.mark.parametrize("url", ["", LOCAL])
    def test_a_real_key_is_refused_offline(self, url: str) -> None:
        with pytest.raises(SettingsError, match="loopback with a `local-` key only") as caught:
            read(VASTAI_API_KEY=REAL, VAST_URL=url, AGENT_DOCKER_OFFLINE="1")
        assert REAL not in str(caught.value)


class TestThePace:
    def test_it_can_be_left_on_loopback_only(self) -> None:
        assert not read(VASTAI_API_KEY=DUMMY, VAST_URL=LOCAL, AGENT_DOCKER_VAST_PACE="off").paced
        with pytest.raises(SettingsError, match="PACE=off is for loopback only"):
            read(VASTAI_API_KEY=REAL, AGENT_DOCKER_VAST_PACE="off")

    @pytest.mark.parametrize("value", ["", "on", "OFF", "0"])
    def test_only_off_is_off(self, value: str) -> None:
        assert read(VASTAI_API_KEY=DUMMY, VAST_URL=LOCAL, AGENT_DOCKER_VAST_PACE=value).paced
