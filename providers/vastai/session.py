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
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from providers.vastai.client import VastClient
from providers.vastai.models import Instance, Offer
from providers.vastai.offers import Choice, Want, choose
from providers.vastai.pacing import shared_folder

# Longer than any update that makes progress; only guards against a recycled process id.
_LIFETIME = 3600.0


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
        self._lock = FileLock(f"{self._file}.lock")
        self._clock = clock
        _sweep(base, clock() - _LIFETIME)

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
    def renting(self, label: str) -> Iterator[bool]:
        """Held while a machine for `label` is looked for and rented, by one process at a time.

        Yields whether somebody else rented for this label since the listing was made, so that
        the listing may not know of it. The lock goes with its process, however that ends.
        """
        path = rent_lock(label, self._file.parent)
        lock = FileLock(path)
        try:
            lock.acquire(blocking=False)
            waited = False
        except Timeout:
            lock.acquire()
            waited = True
        try:
            yield waited or self._touched_since_listing(path.with_suffix(".done"))
        finally:
            path.with_suffix(".done").touch()
            lock.release()

    def _touched_since_listing(self, path: Path) -> bool:
        with self._lock:
            listed = self._read().get("listed")
        try:
            return listed is not None and path.stat().st_mtime >= listed
        except OSError:
            return False

    def choice(self, want: Want) -> Choice:
        """Offers for `want`, ranked; those that this update reached for already are left out.

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
        found = choose([offer for offer in offers if offer.id not in taken], want)
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
            seen = json.loads(self._file.read_text())
        except (OSError, ValueError):
            return {"at": self._clock()}
        sound = isinstance(seen, dict) and self._clock() - seen.get("at", 0) < _LIFETIME
        return seen if sound else {"at": self._clock()}

    def _write(self, seen: Mapping[str, Any]) -> None:
        self._file.write_text(json.dumps(seen))


def current_update() -> str:
    """What all provider processes of one update, and no others, have in common.

    The engine starts them itself and hands each its own address, so its process id and that
    address name the update.
    """
    return f"{os.getppid()} {' '.join(sys.argv[1:2])}"


def rent_lock(label: str, folder: Path) -> Path:
    """The lock file that is held while a machine for `label` is rented."""
    return folder / f"rent-{hashlib.sha256(label.encode()).hexdigest()[:16]}.lock"


def _sweep(folder: Path, before: float) -> None:
    for path in [*folder.glob("update-*.json*"), *folder.glob("rent-*.done")]:
        try:
            if path.stat().st_mtime < before:
                path.unlink(missing_ok=True)
        except OSError:
            continue
