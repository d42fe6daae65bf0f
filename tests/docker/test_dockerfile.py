"""The Dockerfile by its text: what a build on stand-ins cannot show."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LINES = (ROOT / "autoscaler/Dockerfile").read_text().replace("\\\n", " ").splitlines()
STEPS = [line.split(maxsplit=1) for line in LINES if line and not line.startswith("#")]
DEFAULTS = dict(rest.split("=", 1) for word, rest in STEPS if word == "ARG" and "=" in rest)


def rest_of(word: str) -> list[str]:
    return [rest for found, rest in STEPS if found == word]


def test_every_stage_begins_with_an_argument_that_names_a_full_version() -> None:
    bases = [rest.split()[0] for rest in rest_of("FROM")]
    assert [re.sub(r"\W", "", base) for base in bases] == ["PULUMI", "BASE", "BASE"]
    for image in DEFAULTS.values():
        assert re.fullmatch(r"[\w/-]+:\d+\.\d+\.\d+[\w.-]*", image), image


def test_the_engine_is_the_release_that_the_lock_pins() -> None:
    release = DEFAULTS["PULUMI"].partition(":")[2]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert f"pulumi=={release}" in project["dependencies"]
    assert f"pulumi=={release} \\" in (ROOT / "requirements-runtime.lock").read_text()


def test_packages_are_installed_by_their_hashes_and_leave_no_cache() -> None:
    installs = [rest for rest in rest_of("RUN") if "pip install" in rest]
    assert len(installs) == 1
    for flag in ("--require-hashes", "--no-cache-dir", "--only-binary :all:"):
        assert flag in installs[0]


def test_nothing_is_fetched_by_hand_and_nobody_is_root() -> None:
    assert not re.search(r"\b(curl|wget|apt|sudo|ADD)\b", " ".join(map(" ".join, STEPS)))
    assert rest_of("USER") == ["10001:10001"]
    order = [word for word, _ in STEPS]
    assert order.index("USER") > max(i for i, word in enumerate(order) if word in {"RUN", "COPY"})


def test_only_what_is_copied_gets_into_the_context() -> None:
    ignore = (ROOT / ".dockerignore").read_text().splitlines()
    assert "*" in ignore
    let_in = {line[1:] for line in ignore if line.startswith("!")}
    copied = {
        source for rest in rest_of("COPY") if "--from" not in rest for source in rest.split()[:-1]
    }
    assert let_in == copied
