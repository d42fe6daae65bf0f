"""Redis: the file of a BGSAVE; with an append-only file, that is replaced by it on a restore."""

import re
import time
from collections.abc import Mapping
from pathlib import Path

from contracts.backups import Fact
from operations.backups.errors import BackupFailed
from operations.backups.kinds import Scratch, Site, Subject
from operations.backups.store import Draft, Kept, Taken

_SAVE_SECONDS = 1800.0
_LOAD_SECONDS = 1800.0
_POLL_SECONDS = 0.2
# The password is read inside: no command line and no environment of a container has it.
_CLI = (
    "if [ -r /run/secrets/redis-password ]; then "
    'REDISCLI_AUTH="$(cat /run/secrets/redis-password)"; export REDISCLI_AUTH; fi; '
    'exec redis-cli -e "$@"'
)
_KEYSPACE = re.compile(r"^db(\d+):keys=(\d+),expires=(\d+)", re.MULTILINE)
_AOF_LINE = re.compile(r"^file (\S+) seq (\d+) type [bih]", re.MULTILINE)
# The first whose append-only file is a folder of files that a manifest names.
_FOLDERS_SINCE = 7


class Redis:
    """See the module."""

    def back_up(self, site: Site, draft: Draft) -> Taken:
        """A snapshot that Redis made now."""
        before = _keyspace(_cli(site, "INFO", "keyspace"))
        site.say(f"{site.subject.service}: saving a snapshot")
        _save(site)
        after = _keyspace(_cli(site, "INFO", "keyspace"))
        path = draft.file("dump.rdb", holds="all keys")
        with path.open("wb") as file:
            site.box.take(f"{_config(site, 'dir')}/{_config(site, 'dbfilename')}", file)
        version = _info(_cli(site, "INFO", "server"))["redis_version"]
        return Taken(facts=key_facts(before, after), tools={"redis": version})

    def count(self, site: Site) -> dict[str, int]:
        """Keys of each database that has any."""
        found = _keyspace(_cli(site, "INFO", "keyspace"))
        return {f"keys in {name}": keys for name, (keys, _) in found.items()}

    def restore(self, site: Site, backup: Kept) -> None:
        """Stop it, put the snapshot in its volume, start it, and wait until it has loaded it."""
        folder, name = _config(site, "dir"), _config(site, "dbfilename")
        dump = backup.path(backup.manifest.files[0])
        files: dict[str, Path | bytes] = {name: dump}
        if _config(site, "appendonly") == "yes":
            files |= _append_only(site, folder, dump)
        site.say(f"{site.subject.service}: stopping, to put the snapshot in its place")
        site.box.stop(grace=site.subject.grace)
        try:
            site.box.put(folder, files, user=site.subject.user)
        finally:
            site.box.start()
        site.box.wait(lambda: self.ready(site), seconds=_LOAD_SECONDS, until="it had loaded")

    def scratch(self, _subject: Subject) -> Scratch:
        """Loads the snapshot, writes nothing, listens to nobody."""
        return Scratch(
            command=(
                *("redis-server", "--dir", "/data", "--dbfilename", "dump.rdb"),
                *("--appendonly", "no", "--save", ""),
            ),
            loads=True,
        )

    def prepare(self, site: Site, backup: Kept) -> None:
        """It is loaded at the start."""
        dump = backup.path(backup.manifest.files[0])
        site.box.put("/data", {"dump.rdb": dump}, user=site.subject.user)

    def ready(self, site: Site) -> bool:
        """Whether it answers and has loaded everything."""
        try:
            return _info(_cli(site, "INFO", "persistence"))["loading"] == "0"
        except (BackupFailed, KeyError):
            return False

    def fill(self, site: Site, backup: Kept) -> None:
        """It has been loaded."""

    def faults(self, _site: Site, _backup: Kept) -> list[str]:
        """None beyond the keys: Redis checks the file's own checksum as it loads it."""
        return []


def key_facts(
    before: Mapping[str, tuple[int, int]], after: Mapping[str, tuple[int, int]]
) -> dict[str, Fact]:
    """Bounds of the keys in a snapshot that was taken between two looks; each says (all, expiring).

    A key that expires may be gone by the time that the snapshot is loaded.
    """
    names = sorted({*before, *after})
    looks = [(before.get(name, (0, 0)), after.get(name, (0, 0))) for name in names]
    return {
        f"keys in {name}": Fact.of(*(keys - gone for keys, gone in both), *(k for k, _ in both))
        for name, both in zip(names, looks, strict=True)
    }


def append_only_manifest(old: str, name: str) -> tuple[str, str, str]:
    """The manifest that makes Redis load `BASE`, and then the empty `INCREMENT`; both names too.

    What the `old` manifest names becomes history, which Redis removes as it starts.
    """
    known = [(found[1], int(found[2])) for found in _AOF_LINE.finditer(old)]
    number = max((seq for _, seq in known), default=0) + 1
    base, increment = f"{name}.{number}.base.rdb", f"{name}.{number}.incr.aof"
    lines = [f"file {base} seq {number} type b"]
    lines += [f"file {file} seq {seq} type h" for file, seq in known]
    lines += [f"file {increment} seq {number} type i"]
    return "\n".join(lines) + "\n", base, increment


def _append_only(site: Site, folder: str, dump: Path) -> dict[str, Path | bytes]:
    version = _info(_cli(site, "INFO", "server"))["redis_version"]
    if int(version.partition(".")[0]) < _FOLDERS_SINCE:
        raise BackupFailed(
            f"{site.subject.service}: Redis {version} keeps its append-only file in another way",
            hint="restore into Redis 7 or newer",
        )
    inside, name = _config(site, "appenddirname"), _config(site, "appendfilename")
    manifest = f"{inside}/{name}.manifest"
    old = site.box.read(f"{folder}/{manifest}") or ""
    text, base, increment = append_only_manifest(old, name)
    # With an append-only file Redis ignores a snapshot: this one is that file's base. The manifest
    # is written last: cut off before it, Redis starts with what it had.
    return {f"{inside}/{base}": dump, f"{inside}/{increment}": b"", manifest: text.encode()}


def _save(site: Site) -> None:
    """BGSAVE, and wait until LASTSAVE has moved, which counts whole seconds."""
    end = time.monotonic() + _SAVE_SECONDS
    last = int(_cli(site, "LASTSAVE"))
    while int(_cli(site, "TIME").split()[0]) <= last:
        _pause(site, end)
    status = _info(_cli(site, "INFO", "persistence"))["rdb_last_bgsave_status"]
    _cli(site, "BGSAVE", "SCHEDULE")
    while True:
        found = _info(_cli(site, "INFO", "persistence"))
        if int(found["rdb_last_save_time"]) > last and found["rdb_bgsave_in_progress"] == "0":
            return
        if status == "ok" and found["rdb_last_bgsave_status"] != "ok":
            raise BackupFailed(
                f"{site.subject.service}: BGSAVE failed",
                hint="its log says why; a full disk or too little memory are the usual reasons",
            )
        _pause(site, end)


def _pause(site: Site, end: float) -> None:
    if time.monotonic() > end:
        raise BackupFailed(f"{site.subject.service}: no snapshot within {_SAVE_SECONDS:g} s")
    time.sleep(_POLL_SECONDS)


def _cli(site: Site, *command: str) -> str:
    return site.box.run("sh", "-c", _CLI, "sh", *command)


def _config(site: Site, name: str) -> str:
    return _cli(site, "CONFIG", "GET", name).splitlines()[1]


def _info(text: str) -> dict[str, str]:
    rows = (line.strip().partition(":") for line in text.splitlines())
    return {name: value for name, colon, value in rows if colon}


def _keyspace(text: str) -> dict[str, tuple[int, int]]:
    return {f"db{n}": (int(k), int(e)) for n, k, e in _KEYSPACE.findall(text)}
