"""What one update knows of the account: one label listing and one search for all its processes.

A fleet's provider processes (the shards) belong to one `pulumi up`. They share a small file in a
private folder, so the update asks Vast.ai once, two shards never reach for the same offer, and
what the update itself destroyed is not taken for alive. Nothing secret is in the file.
"""

import hashlib
import json
import os
import sys
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from filelock import Timeout

from contracts.narrowing import is_object
from providers.vastai.client import VastClient
from providers.vastai.errors import Ambiguous, VastError
from providers.vastai.models import Instance, Offer
from providers.vastai.offers import Choice, Want, choose
from providers.vastai.pacing import process_lock, replace_text, shared_folder

# Longer than any update that makes progress; only guards against a recycled process id.
_LIFETIME = 3600.0
# An operation that was cut off is long recovered by then, under the same names.
_LOCK_LIFETIME = 24 * 3600.0
_OPEN = "open"
# Seconds by which a listing may be behind an accepted rental.
LISTING_LAG = 6.0


class UpdateSession:
    """Shared knowledge of one update. `folder` is private to this user."""

    def __init__(
        self,
        client: VastClient,
        *,
        update: str,
        folder: Path | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        digest = hashlib.sha256(update.encode()).hexdigest()[:16]
        base = folder or shared_folder()
        self._client = client
        self._file = base / f"update-{digest}.json"
        self._lock = process_lock(f"{self._file}.lock")
        self._clock = clock
        _sweep(base, clock() - _LIFETIME)
        _sweep_locks(base, clock() - _LOCK_LIFETIME)

    def instances(self, *, fresh: bool = False) -> list[Instance]:
        """The account's rentals: listed once an update, less what it destroyed since."""
        with self._lock:
            seen = self._read()
            if fresh or "instances" not in seen:
                seen["listed"] = self._clock()
                live = self._client.instances()
                seen["instances"] = [item.model_dump() for item in live]
                self._write(seen)
            gone = set(seen.get("destroyed", []))
            rows = [Instance.model_validate(row) for row in seen["instances"]]
        return [item for item in rows if item.id not in gone]

    def labelled(self, label: str, *, fresh: bool = False) -> list[Instance]:
        """The rentals that carry exactly `label`."""
        if fresh:
            with self._lock:
                gone = set(self._read().get("destroyed", []))
            # Asked by label: the answer to "was it rented after all" must not come from a page.
            return [i for i in self._client.instances(label=label) if i.id not in gone]
        return [item for item in self.instances() if item.label == label]

    @contextmanager
    def holding(self, label: str) -> Generator[None]:
        """Nobody else rents or ends a machine of `label` meanwhile; recovery waits for it too."""
        # Made anew: the lock counts its holders by thread, and this one serves one holder.
        with process_lock(rent_lock(label, self._file.parent)):
            yield

    @contextmanager
    def renting(self, label: str) -> Generator[bool]:
        """Held while a machine for `label` is looked for and rented, by one process at a time.

        Yields whether a machine of this label may live that the update's listing does not show:
        somebody rented for it since, or an earlier renting was cut off or ended in doubt. The
        lock goes with its process, however that ends; the mark of an open renting stays.
        """
        mark = rent_lock(label, self._file.parent).with_suffix(".mark")
        with self.holding(label):
            unsure = self._is_newer_than_listing(mark)
            replace_text(mark, _OPEN)
            try:
                yield unsure
            except Ambiguous:
                raise
            except VastError:
                self._settle(mark)
                raise
            else:
                self._settle(mark)

    def _settle(self, mark: Path) -> None:
        # A mark that stays open costs the next renting a look, an error here the whole machine.
        with suppress(OSError):
            # Our clock, not the file system's: that one may be some milliseconds behind.
            replace_text(mark, str(self._clock()))

    def _is_newer_than_listing(self, mark: Path) -> bool:
        with self._lock:
            listed = float(self._read().get("listed", self._clock()))
        try:
            return float(mark.read_text()) + LISTING_LAG >= listed
        except FileNotFoundError:
            return False
        except ValueError:
            return True

    def choice(self, want: Want) -> Choice:
        """Offers for `want`, ranked; those that this update reached for already are refused.

        Machines on which this update found a dead instance come last.
        """
        query = want.query()
        name = hashlib.sha256(json.dumps(query, sort_keys=True).encode()).hexdigest()[:16]
        with self._lock:
            seen = self._read()
            searches: dict[str, Any] = seen.setdefault("searches", {})
            if name not in searches:
                searches[name] = [offer.model_dump() for offer in self._client.search(query)]
                self._write(seen)
            taken, bad = set(seen.get("taken", [])), set(seen.get("avoid", []))
        offers = [Offer.model_validate(row) for row in searches[name]]
        found = choose(offers, want, tried=taken)
        ranked = sorted(found.ranked, key=lambda offer: offer.machine_id in bad)
        return Choice(ranked=tuple(ranked), refused=found.refused)

    def take(self, offer: int) -> bool:
        """Reach for `offer`; False when another process of this update did so before."""
        with self._lock:
            seen = self._read()
            taken = seen.setdefault("taken", [])
            if offer in taken:
                return False
            taken.append(offer)
            self._write(seen)
        return True

    def destroyed(self, contract: int, *, avoid_machine: int | None = None) -> None:
        """Remember that this update ended `contract`; `avoid_machine` if it had died there."""
        with self._lock:
            seen = self._read()
            seen.setdefault("destroyed", []).append(contract)
            if avoid_machine is not None:
                seen.setdefault("avoid", []).append(avoid_machine)
            self._write(seen)

    def _read(self) -> dict[str, Any]:
        try:
            written: Any = json.loads(self._file.read_text())
        except (OSError, ValueError):
            written = None
        seen = written if is_object(written) else {}
        fresh = self._clock() - seen.get("at", 0) < _LIFETIME
        return seen if seen and fresh else {"at": self._clock()}

    def _write(self, seen: Mapping[str, Any]) -> None:
        replace_text(self._file, json.dumps(seen))


def current_update() -> str:
    """What all provider processes of one update, and no others, have in common.

    The engine starts them and hands each its own address, so its process id and that address
    name the update. Where the id cannot be told, each process keeps a session of its own.
    """
    return " ".join([str(_engine(os.getppid())), *sys.argv[1:]])


def _engine(parent: int, processes: Path = Path("/proc")) -> int:
    """The engine's process id: `parent`, or its parent if Pulumi's start script stands between."""
    try:
        stat = (processes / str(parent) / "stat").read_text()
    except OSError:
        return parent
    name, _, rest = stat.partition("(")[2].rpartition(")")
    # After the name come the state and the parent.
    return int(rest.split()[1]) if name.startswith("pulumi-resource") else parent


def rent_lock(label: str, folder: Path) -> Path:
    """The lock file that is held while a machine for `label` is rented."""
    return folder / f"rent-{hashlib.sha256(label.encode()).hexdigest()[:16]}.lock"


def rent_locks(folder: Path) -> list[Path]:
    """Every such lock file below `folder`, held or not."""
    return sorted(folder.glob("rent-*.lock"))


def _sweep_locks(folder: Path, before: float) -> None:
    """Remove locks of slots that are long gone: their names never come back.

    Only while it is held: nobody else holds it then, and who waits opens it anew at each try.
    """
    for path in rent_locks(folder):
        with suppress(OSError, Timeout):
            if path.stat().st_mtime < before:
                with process_lock(path).acquire(blocking=False):
                    path.unlink(missing_ok=True)


def _sweep(folder: Path, before: float) -> None:
    for path in [*folder.glob("update-*.json*"), *folder.glob("rent-*.mark*")]:
        try:
            if path.stat().st_mtime < before:
                path.unlink(missing_ok=True)
        except OSError:
            continue
