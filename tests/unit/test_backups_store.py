"""A backup is there whole or not at all."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from contracts.backups import Fact, Manifest, backup_id
from operations.backups.errors import BackupFailed, NoBackup, NotVerified
from operations.backups.store import Kept, Store, newest

NOW = datetime(2026, 11, 25, 3, 0, tzinfo=UTC)


def manifest(taken: datetime) -> Manifest:
    return Manifest(
        id=backup_id(taken),
        service="redis",
        kind="redis",
        image="redis:7",
        image_id="sha256:1",
        taken=taken,
        files=(),
        facts={"keys in db0": Fact.of(1, 2)},
    )


def made(store: Store, taken: datetime = NOW, content: bytes = b"data") -> Kept:
    with store.draft("redis", taken) as draft:
        draft.file("dump.rdb", holds="all keys").write_bytes(content)
        return store.commit(draft, manifest(taken))


def test_a_backup_is_read_again_as_it_was_written(tmp_path: Path) -> None:
    store = Store(directory=tmp_path)
    kept = made(store)
    assert store.all() == [kept]
    assert kept.folder == tmp_path / "redis" / "20261125-030000-000"
    (file,) = kept.manifest.files
    assert (file.name, file.holds, file.size) == ("dump.rdb", "all keys", 4)
    kept.check()
    document = json.loads((kept.folder / "manifest.json").read_text())
    assert document["imageId"] == "sha256:1"
    assert document["facts"] == {"keys in db0": {"least": 1, "most": 2}}
    assert newest(tmp_path) == {"redis": kept.manifest}


def test_nobody_else_may_read_it(tmp_path: Path) -> None:
    kept = made(Store(directory=tmp_path / "new"))
    assert kept.folder.stat().st_mode & 0o077 == 0
    assert kept.folder.parent.stat().st_mode & 0o077 == 0


def test_a_failure_leaves_nothing(tmp_path: Path) -> None:
    store = Store(directory=tmp_path)

    def fill_the_disk() -> None:
        with store.draft("redis", NOW) as draft:
            draft.file("dump.rdb", holds="all keys").write_bytes(b"half")
            raise OSError("full")

    with pytest.raises(OSError, match="full"):
        fill_the_disk()
    assert store.all() == []
    assert list((tmp_path / "redis").iterdir()) == []


@pytest.mark.parametrize("with_manifest", [True, False])
def test_what_a_killed_run_left_is_no_backup_and_is_swept(
    tmp_path: Path, *, with_manifest: bool
) -> None:
    store = Store(directory=tmp_path)
    left = tmp_path / "redis" / ".partial-20261125-020000-000"
    left.mkdir(parents=True)
    (left / "dump.rdb").write_bytes(b"half")
    if with_manifest:
        (left / "manifest.json").write_text(manifest(NOW).model_dump_json())
    assert store.all() == []
    assert newest(tmp_path) == {}
    made(store)
    assert not left.exists()


def test_a_folder_without_a_readable_manifest_is_no_backup(tmp_path: Path) -> None:
    store = Store(directory=tmp_path)
    kept = made(store)
    (kept.folder / "manifest.json").write_text("{")
    assert store.all() == []
    stray = tmp_path / "redis" / "20200101-000000-000"
    stray.mkdir()
    # A copy under another name is not the backup that its manifest names.
    (stray / "manifest.json").write_text(kept.manifest.model_dump_json())
    assert store.all() == []


def test_without_a_folder_there_are_none(tmp_path: Path) -> None:
    assert newest(tmp_path / "no-such") == {}


def test_a_manifest_of_a_later_version_is_read(tmp_path: Path) -> None:
    store = Store(directory=tmp_path)
    path = made(store).folder / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"later": 1}))
    assert len(store.all()) == 1


@pytest.mark.parametrize("content", [b"dat", b"date", None])
def test_another_content_is_found(tmp_path: Path, content: bytes | None) -> None:
    kept = made(Store(directory=tmp_path))
    path = kept.folder / "dump.rdb"
    path.unlink() if content is None else path.write_bytes(content)
    with pytest.raises(NotVerified, match=r"dump\.rdb"):
        kept.check()


def test_the_same_moment_twice_is_refused(tmp_path: Path) -> None:
    store = Store(directory=tmp_path)
    kept = made(store)
    with pytest.raises(BackupFailed, match="exists already"):
        made(store, content=b"other")
    kept.check()


def test_one_is_found_by_its_name_or_is_the_last_good_one(tmp_path: Path) -> None:
    store = Store(directory=tmp_path)
    first, second = made(store), made(store, NOW + timedelta(hours=1))
    assert store.of("redis", None) == second
    assert store.of("redis", first.manifest.id) == first
    store.record(second, failed="broken")
    assert store.of("redis", None) == first
    with pytest.raises(NoBackup) as error:
        store.of("redis", "20200101-000000-000")
    assert first.manifest.id in str(error.value)
    with pytest.raises(NoBackup, match="no good backup"):
        store.of("postgres", None)


def test_removed_it_is_gone(tmp_path: Path) -> None:
    store = Store(directory=tmp_path)
    kept = made(store)
    store.remove(kept.manifest)
    assert store.all() == []
    assert list((tmp_path / "redis").iterdir()) == []
