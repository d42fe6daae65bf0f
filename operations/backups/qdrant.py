"""Qdrant: a snapshot of each collection, and the aliases, which no snapshot has."""

import contextlib
import json
from collections.abc import Generator
from http import HTTPStatus
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote

import httpx

from contracts.backups import Fact
from operations.backups.errors import BackupFailed, Unfit, tells_of_trouble
from operations.backups.kinds import Scratch, Site, Subject
from operations.backups.reach import reached
from operations.backups.store import Draft, Kept, Taken

_PORT = 6333
_KEY = "QDRANT__SERVICE__API_KEY"
_ALIASES = "aliases.json"
# A large collection's snapshot takes its time.
_SECONDS = 1800.0
# Snapshots of a collection that is written to, until one has a known count.
_ATTEMPTS = 3
# How the node answers to content that it cannot take; other failures are of the moment.
_UNFIT = frozenset(
    {
        HTTPStatus.BAD_REQUEST,
        HTTPStatus.NOT_FOUND,
        HTTPStatus.UNPROCESSABLE_ENTITY,
        HTTPStatus.INTERNAL_SERVER_ERROR,
    }
)


class Qdrant:
    """See the module."""

    def back_up(self, site: Site, draft: Draft) -> Taken:
        """One file a collection; the node keeps none."""
        with _node(site) as node:
            facts: dict[str, Fact] = {}
            for number, name in enumerate(node.collections(), start=1):
                site.say(f"{site.subject.service}: taking a snapshot of {name}")
                path = draft.file(f"collection-{number}.snapshot", holds=name)
                facts[f"points in {name}"] = node.back_up(name, path)
            aliases = draft.file(_ALIASES, holds="aliases")
            aliases.write_text(json.dumps(node.aliases(), indent=2))
            return Taken(facts=facts, tools={"qdrant": node.version()})

    def count(self, site: Site) -> dict[str, int]:
        """Points of each collection."""
        with _node(site) as node:
            return {f"points in {name}": node.points(name) for name in node.collections()}

    def restore(self, site: Site, backup: Kept) -> None:
        """Each collection as it was; collections that the backup does not know stay."""
        with _node(site) as node:
            for file in backup.manifest.files:
                if file.name != _ALIASES:
                    site.say(f"{site.subject.service}: recovering collection {file.holds}")
                    node.recover(file.holds, backup.path(file))
            for file in backup.manifest.files:
                if file.name == _ALIASES:
                    node.set_aliases(json.loads(backup.path(file).read_text()))

    def scratch(self, _subject: Subject) -> Scratch:
        """An empty node without a key, on the service's own network."""
        return Scratch(network=True)

    def prepare(self, site: Site, backup: Kept) -> None:
        """Nothing."""

    def ready(self, site: Site) -> bool:
        """Whether it takes requests."""
        try:
            with _node(site) as node:
                node.collections()
        except BackupFailed:
            return False
        return True

    def fill(self, site: Site, backup: Kept) -> None:
        """As a service is restored."""
        self.restore(site, backup)

    def faults(self, site: Site, backup: Kept) -> list[str]:
        """Aliases that are not there."""
        wanted = [f for f in backup.manifest.files if f.name == _ALIASES]
        with _node(site) as node:
            found = node.aliases()
        return [
            f"alias {name}: missing"
            for file in wanted
            for name, collection in json.loads(backup.path(file).read_text()).items()
            if found.get(name) != collection
        ]


class _Node:
    """The calls that are needed, each with its answer's `result`."""

    def __init__(self, client: httpx.Client, service: str) -> None:
        self._client = client
        self._service = service

    def collections(self) -> list[str]:
        return sorted(row["name"] for row in self._ask("GET", "/collections")["collections"])

    def points(self, name: str) -> int:
        path = f"/collections/{quote(name, safe='')}/points/count"
        return int(self._ask("POST", path, json={"exact": True})["count"])

    def version(self) -> str:
        return str(self._request("GET", "/").json().get("version", "unknown"))

    def back_up(self, name: str, path: Path) -> Fact:
        """Write a snapshot to `path`; how many points it has, as far as that can be known."""
        for _ in range(_ATTEMPTS - 1):
            fact = self._snapshot(name, path)
            if fact.least == fact.most:
                return fact
        return self._snapshot(name, path)

    def recover(self, name: str, path: Path) -> None:
        target = f"/collections/{quote(name, safe='')}/snapshots/upload"
        with path.open("rb") as file:
            params = {"priority": "snapshot", "wait": "true"}
            self._give("POST", target, params=params, files={"snapshot": (path.name, file)})

    def aliases(self) -> dict[str, str]:
        answer = self._client.get("/aliases")
        # The stand-in has none.
        if answer.status_code == HTTPStatus.NOT_FOUND:
            return {}
        rows = self._result(answer)["aliases"]
        return {row["alias_name"]: row["collection_name"] for row in rows}

    def set_aliases(self, aliases: dict[str, str]) -> None:
        actions = [
            {"create_alias": {"alias_name": alias, "collection_name": collection}}
            for alias, collection in aliases.items()
        ]
        if actions:
            self._give("POST", "/collections/aliases", json={"actions": actions})

    def _snapshot(self, name: str, path: Path) -> Fact:
        folder = f"/collections/{quote(name, safe='')}/snapshots"
        before = self.points(name)
        made = str(self._ask("POST", folder, params={"wait": "true"})["name"])
        after = self.points(name)
        place = f"{folder}/{quote(made, safe='')}"
        try:
            self._download(place, path)
        finally:
            # It takes as much room as the collection.
            self._ask("DELETE", place, params={"wait": "true"})
        return Fact.of(before, after)

    def _download(self, place: str, path: Path) -> None:
        with self._client.stream("GET", place) as answer, path.open("wb") as file:
            if not answer.is_success:
                answer.read()
                self._result(answer)
            for chunk in answer.iter_bytes():
                file.write(chunk)

    def _ask(self, method: str, path: str, **more: Any) -> Any:  # noqa: ANN401 - JSON
        return self._result(self._request(method, path, **more))

    def _give(self, method: str, path: str, **more: Any) -> None:  # noqa: ANN401 - JSON
        """Ask for something that a backup holds to be taken."""
        answer = self._request(method, path, **more)
        try:
            self._result(answer)
        except BackupFailed as error:
            if answer.status_code not in _UNFIT or tells_of_trouble(error.message):
                raise
            raise Unfit(error.message) from None

    def _request(self, method: str, path: str, **more: Any) -> httpx.Response:  # noqa: ANN401
        return self._client.request(method, path, **more)

    def _result(self, answer: httpx.Response) -> Any:  # noqa: ANN401 - JSON
        if answer.status_code in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
            raise BackupFailed(
                f"{self._service}: Qdrant wants an API key",
                hint=f"the container's environment must have it in {_KEY}",
            )
        if not answer.is_success:
            raise BackupFailed(
                f"{self._service}: {answer.request.method} {answer.request.url.path} answered "
                f"{answer.status_code}: {answer.text[:300]}"
            )
        return cast("dict[str, Any]", answer.json()).get("result")


@contextlib.contextmanager
def _node(site: Site) -> Generator[_Node]:
    service, record = site.subject.service, site.box.inspect()
    env = site.box.env()
    headers = {"api-key": env[_KEY]} if env.get(_KEY) else {}
    try:
        with (
            reached(site.url, record, site.subject.port or _PORT, service) as place,
            httpx.Client(
                base_url=f"http://{place}", headers=headers, timeout=_SECONDS, trust_env=False
            ) as client,
        ):
            yield _Node(client, service)
    except httpx.HTTPError as error:
        raise BackupFailed(f"{service}: Qdrant does not answer: {error}") from None
