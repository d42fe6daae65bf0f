"""Which resource plugins the local profile's engine finds."""

from pathlib import Path

from localcloud.plugins.folders import OURS, folders


def test_the_offline_plugins_are_used_unless_told_otherwise(tmp_path: Path) -> None:
    official, other = tmp_path / "official", tmp_path / "other"
    for folder in (official, other):
        folder.mkdir()
    (official / "pulumi-resource-kubernetes").touch()
    env = {"PATH": f"{other}:{official}:{tmp_path / 'missing'}:"}
    assert folders(env) == folders({**env, "OFFLINE_PLUGINS": "1"}) == [OURS]
    assert folders({**env, "OFFLINE_PLUGINS": "0"}) == [official]
    assert folders({"OFFLINE_PLUGINS": "0"}) == []


def test_ours_are_there() -> None:
    names = {path.name.removeprefix("pulumi-resource-") for path in OURS.iterdir()}
    assert names == {"cloudflare", "command", "docker", "kubernetes"}
