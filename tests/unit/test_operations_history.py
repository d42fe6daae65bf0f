"""A file backend's history is bounded; nothing else is touched."""

from pathlib import Path

import pytest

from operations import history

STACK = "gpu"


def record(backend: Path, stack: str, number: int) -> None:
    folder = backend / ".pulumi/history/agent-docker" / stack
    folder.mkdir(parents=True, exist_ok=True)
    for kind in ("history", "checkpoint"):
        (folder / f"{stack}-{number}.{kind}.json").write_text("{}")


def kept(backend: Path, stack: str = STACK) -> list[str]:
    return sorted(p.name for p in (backend / ".pulumi/history/agent-docker" / stack).iterdir())


def test_the_last_updates_stay_whole(tmp_path: Path) -> None:
    for number in range(1000, 1012):
        record(tmp_path, STACK, number)
    env = {"PULUMI_BACKEND_URL": f"file://{tmp_path}"}
    assert history.prune(env, STACK, kept=3) == 18
    assert kept(tmp_path) == [
        f"gpu-{number}.{kind}.json"
        for number in (1009, 1010, 1011)
        for kind in ("checkpoint", "history")
    ]
    assert history.prune(env, STACK, kept=3) == 0


def test_other_stacks_and_other_backends_are_left_alone(tmp_path: Path) -> None:
    for number in range(5):
        record(tmp_path, "gpu-west", number)
    env = {"PULUMI_BACKEND_URL": f"file://{tmp_path}"}
    assert history.prune(env, STACK, kept=1) == 0
    assert len(kept(tmp_path, "gpu-west")) == 10
    for url in ("s3://bucket", "postgres://host/db", "https://api.pulumi.com", ""):
        assert history.prune({"PULUMI_BACKEND_URL": url}, "gpu-west", kept=1) == 0


def test_what_cannot_be_removed_fails_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        record(tmp_path, STACK, number)

    def refuse(_path: Path) -> None:
        raise PermissionError

    monkeypatch.setattr(Path, "unlink", refuse)
    assert history.prune({"PULUMI_BACKEND_URL": f"file://{tmp_path}"}, STACK, kept=1) == 0


def test_a_path_with_a_space_is_found(tmp_path: Path) -> None:
    backend = tmp_path / "a b"
    for number in range(3):
        record(backend, STACK, number)
    url = f"file://{backend}".replace(" ", "%20")
    assert history.prune({"PULUMI_BACKEND_URL": url}, STACK, kept=1) == 4
