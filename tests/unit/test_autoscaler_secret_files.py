from pathlib import Path

import pytest

from autoscaler.secret_files import FROM_FILES, with_secret_files
from contracts.errors import SettingsError


@pytest.mark.parametrize("name", FROM_FILES)
def test_a_file_stands_for_its_variable(tmp_path: Path, name: str) -> None:
    (tmp_path / "secret").write_text("value\n")
    env = {"PATH": "/bin", f"{name}_FILE": str(tmp_path / "secret")}
    assert with_secret_files(env) == {"PATH": "/bin", name: "value"}


def test_pulumis_own_file_is_left_to_pulumi() -> None:
    env = {"PULUMI_CONFIG_PASSPHRASE_FILE": "/nowhere"}
    assert with_secret_files(env) == env


def test_both_are_too_many(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("value")
    env = {"REDIS_URL": "redis://h", "REDIS_URL_FILE": str(tmp_path / "secret")}
    with pytest.raises(SettingsError, match="REDIS_URL and REDIS_URL_FILE are both set"):
        with_secret_files(env)


@pytest.mark.parametrize("text", ["", " \n"])
def test_an_empty_file_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "secret").write_text(text)
    with pytest.raises(SettingsError, match=r"REDIS_URL_FILE: .*secret is empty"):
        with_secret_files({"REDIS_URL_FILE": str(tmp_path / "secret")})


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"VASTAI_API_KEY_FILE: .*none cannot be read"):
        with_secret_files({"VASTAI_API_KEY_FILE": str(tmp_path / "none")})
