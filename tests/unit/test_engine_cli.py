"""`python -m tools.engine`: what it prints where, and its exit code."""

import json
from pathlib import Path

import pytest

from tools import engine
from tools.engine import BuildError, Engine, __main__

FOUND = Engine(Path("/cache/bin/pulumi"), "go", "3.259.0", (Path("/plugins"),))


def test_where_prints_the_path(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(__main__, "locate", lambda: FOUND)
    assert __main__.main(["where"]) == 0
    assert capsys.readouterr().out == "/cache/bin/pulumi\n"


def test_json_has_every_field(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(__main__, "locate", lambda: FOUND)
    assert __main__.main(["where", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "pulumi": "/cache/bin/pulumi",
        "source": "go",
        "version": "3.259.0",
        "plugin_dirs": ["/plugins"],
    }


def test_where_without_an_engine_fails_with_a_hint(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(__main__, "locate", lambda: None)
    assert __main__.main(["where"]) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "hint: python -m tools.engine install" in printed.err


def test_install_shows_progress_and_failures_on_stderr(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def ensure(*, on_progress: engine.progress.Progress) -> Engine:
        on_progress("building")
        raise BuildError("it broke", "mend it")

    monkeypatch.setattr(__main__, "ensure", ensure)
    assert __main__.main(["install"]) == 1
    assert capsys.readouterr().err == "building\nerror: it broke\nhint: mend it\n"
