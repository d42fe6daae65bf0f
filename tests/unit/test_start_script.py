import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.vastai import start_script
from providers.vastai.start_script import StartScriptTooLong, fit, render, shorten, start_command

SHELLCHECK = Path(sys.executable).with_name("shellcheck")
FORMS = {"as written": start_script.source, "as sent": render}


@pytest.fixture(params=FORMS)
def script(request: pytest.FixtureRequest) -> str:
    return FORMS[request.param]()


def test_shellcheck_finds_nothing(script: str) -> None:
    done = subprocess.run(
        [SHELLCHECK, "--shell=bash", "--severity=style", "-"],
        input=script,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "")


def test_bash_can_parse_it(script: str) -> None:
    subprocess.run(["bash", "-n"], input=script, text=True, check=True)


def test_perl_can_parse_the_relay() -> None:
    (relay,) = re.findall(r"perl -MIO::Socket -e '(.*?)'", render(), re.DOTALL)
    subprocess.run(["perl", "-MIO::Socket", "-c", "-e", relay], check=True, capture_output=True)


def test_nothing_in_it_depends_on_what_is_dropped() -> None:
    code = shorten(start_script.source())
    assert not re.search(r"<<-?\s*['\"\\]?\w", code), "a here-document may lose lines"
    assert "shellcheck disable" not in start_script.source(), "the sent form has no comments"


def test_it_never_shows_its_environment_or_commands() -> None:
    code = render()
    for pattern in (r"set -\w*x", r"\bxtrace\b", r"\bprintenv\b", r"^env\b", r"\bexport -p\b"):
        assert not re.search(pattern, code, re.MULTILINE), pattern
    said = re.findall(r"^.*\b(?:say|die|echo)\b.*$", code, re.MULTILINE)
    assert said
    for line in said:
        assert "$TAILSCALE_AUTH_KEY" not in line
        redacted = line.replace('${out//"$key"/***}', "")
        assert not re.search(r"\$\{?key\b", redacted)


def test_the_command_leaves_room_below_the_limit() -> None:
    command = start_command()
    assert command[:2] == ["/bin/bash", "-c"]
    assert command == start_command()
    assert sum(map(len, command)) <= 3900


def test_one_character_too_many_is_refused() -> None:
    room = start_script.MAX_CHARACTERS - len(start_script.ENTRYPOINT) - len("-c")
    assert fit(["-c", "x" * room]) == ["-c", "x" * room]
    with pytest.raises(StartScriptTooLong, match=r"4097 characters, Vast\.ai takes 4096"):
        fit(["-c", "x" * (room + 1)])


def test_every_variable_we_name_is_read_by_the_script() -> None:
    names = {value for key, value in vars(start_script).items() if key.endswith("_VARIABLE")}
    assert len(names) == 9
    for name in names:
        assert re.search(rf"\$\{{?{name}\b", render()), name


def test_every_variable_is_explained() -> None:
    page = (Path(start_script.__file__).parents[2] / "docs" / "start-script.md").read_text()
    for key, value in vars(start_script).items():
        assert not key.endswith("_VARIABLE") or f"| `{value}` |" in page, value


def test_shortening_drops_comments_blank_lines_and_indentation() -> None:
    assert (
        shorten("#!/bin/bash\n\n# why\nif x; then\n  y # z\nfi\n\t# w\n") == "if x; then\ny # z\nfi"
    )


@given(st.text(alphabet="ab# \t\n"))
def test_shortening_twice_is_shortening_once(text: str) -> None:
    once = shorten(text)
    assert shorten(once) == once
    assert all(line == line.strip() and line[0] != "#" for line in once.splitlines())
