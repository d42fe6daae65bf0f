"""One watch for everybody who waits for objects of one kind in one namespace.

A hundred rollouts at once cost one connection, and each learns of a change the moment it is one.
Whoever waits asks for the object itself from time to time, so that a watch which is broken, or not
allowed, costs time and nothing else.
"""

import json
import queue
import threading
import time
from collections import defaultdict
from collections.abc import Generator
from contextlib import contextmanager, suppress
from typing import Any, cast

from localcloud.plugins.kubernetes.api import Api
from localcloud.plugins.model import PluginError
from localcloud.plugins.values import Values, map_of, text_of

# Less than the connection's own limit, so that it is the server that ends a quiet one.
_SECONDS = "50"
_PAUSE_SECONDS = 1.0


class Follower:
    """Gets every state of one object, the latest that is known first."""

    def __init__(self) -> None:
        self._seen: queue.SimpleQueue[Values] = queue.SimpleQueue()

    def put(self, live: Values) -> None:
        """Hand over a state."""
        self._seen.put(live)

    def next(self, seconds: float) -> Values | None:
        """The newest state, waited for; None when there is no news."""
        try:
            live = self._seen.get(timeout=seconds)
            while not self._seen.empty():
                live = self._seen.get()
        except queue.Empty:
            return None
        return live


class Watches:
    """The watches of one API server; they run while somebody follows."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._lock = threading.Lock()
        self._by_path: dict[str, _Watch] = {}

    @contextmanager
    def following(self, collection: str, name: str) -> Generator[Follower]:
        """Follow one object of a collection."""
        follower = Follower()
        with self._lock:
            watch = self._by_path.get(collection)
            if watch is None or not watch.join(name, follower):
                watch = self._by_path[collection] = _Watch(self._api, collection)
                watch.join(name, follower)
                threading.Thread(target=watch.run, daemon=True).start()
        try:
            yield follower
        finally:
            watch.leave(name, follower)


class _Watch:
    def __init__(self, api: Api, path: str) -> None:
        self._api, self._path = api, path
        self._lock = threading.Lock()
        self._followers: defaultdict[str, list[Follower]] = defaultdict(list)
        self._latest: dict[str, Values] = {}
        self._ended = False

    def join(self, name: str, follower: Follower) -> bool:
        """Add one; False when the watch has ended."""
        with self._lock:
            if self._ended:
                return False
            self._followers[name].append(follower)
            if name in self._latest:
                follower.put(self._latest[name])
            return True

    def leave(self, name: str, follower: Follower) -> None:
        with self._lock:
            self._followers[name].remove(follower)
            if not self._followers[name]:
                del self._followers[name]

    def run(self) -> None:
        while not self._over():
            # Without a version it begins with everything that is there.
            with (
                suppress(PluginError, ValueError),
                self._api.watch(self._path, timeoutSeconds=_SECONDS) as lines,
            ):
                for line in lines:
                    self._tell(cast("dict[str, Any]", json.loads(line)))
            time.sleep(_PAUSE_SECONDS)

    def _over(self) -> bool:
        with self._lock:
            self._ended = not self._followers
            self._latest.clear()
            return self._ended

    def _tell(self, event: dict[str, Any]) -> None:
        live = cast("Values", event["object"])
        name = text_of(map_of(live, "metadata"), "name")
        with self._lock:
            if event["type"] == "DELETED":
                self._latest.pop(name, None)
            else:
                self._latest[name] = live
            for follower in self._followers.get(name, ()):
                follower.put(live)
