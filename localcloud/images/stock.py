"""The images that a stack wants, on a daemon: there already, pulled, or a stand-in."""

import functools
import os
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from docker import DockerClient
from docker.errors import APIError, DockerException, ImageNotFound
from docker.models.images import Image

from contracts.errors import AgentDockerError
from localcloud.images import standin_program
from localcloud.images.catalogue import catalogue
from localcloud.images.machine import StandInImpossible
from localcloud.images.recipe import RECIPE_LABEL, STAND_IN_LABEL, Kind, Recipe, digest
from localcloud.images.rootfs import layer

How = Literal["present", "pulled", "stand-in"]
PULL_SECONDS = 10
IMPORT_SECONDS = 120


class BadReference(AgentDockerError):
    """A stand-in cannot have this name."""


@dataclass(frozen=True)
class Reference:
    """`repository:tag`, as a daemon takes it."""

    repository: str
    tag: str

    @classmethod
    def parse(cls, text: str) -> "Reference":
        """Split a reference; without a tag it means `latest`."""
        if "@" in text:
            raise BadReference(
                f"the image {text} is wanted by its digest, which no stand-in can have",
                hint=f"use {text.partition('@')[0]} in the local profile, or pull the image first",
            )
        folder, slash, last = text.rpartition("/")
        name, _, tag = last.partition(":")
        if not name:
            raise BadReference(f"{text!r} is no image reference; expected repository:tag")
        return cls(f"{folder}{slash}{name}", tag or "latest")

    @property
    def name(self) -> str:
        """The last part of the repository: a service's own name."""
        return self.repository.rpartition("/")[2]


def ensure(
    client: DockerClient,
    references: Mapping[str, Kind],
    on_progress: Callable[[str], None],
    *,
    pull: bool = False,
    env: Mapping[str, str] | None = None,
) -> dict[str, How]:
    """Have an image under each reference, and say where it comes from.

    An image that is no stand-in is used as it is and never touched; a stand-in is made again when
    its recipe changed. Only with `pull` is a registry asked, which has ten seconds to answer.
    """
    workshop = _Workshop(client, os.environ if env is None else env, on_progress)
    ordered = sorted(references.items(), key=lambda item: item[1])
    how: dict[str, How] = {text: _one(workshop, text, kind, pull=pull) for text, kind in ordered}
    return {text: how[text] for text in references}


def _one(workshop: "_Workshop", text: str, kind: Kind, *, pull: bool) -> How:
    old = workshop.find(text)
    if old is not None and STAND_IN_LABEL not in old.labels:
        return "present"
    if old is None and pull and workshop.pull(text):
        return "pulled"
    workshop.make(Reference.parse(text), kind, old)
    return "stand-in"


class _Workshop:
    """One daemon; each kind's files are gathered once."""

    def __init__(
        self, client: DockerClient, env: Mapping[str, str], on_progress: Callable[[str], None]
    ) -> None:
        self._client = client
        self._env = env
        self._progress = on_progress
        self._recipes = catalogue()
        # References come sorted by kind, so one layer is enough to remember.
        self._layer = functools.lru_cache(maxsize=1)(self._assembled)

    def find(self, text: str) -> Image | None:
        try:
            return self._client.images.get(text)
        except ImageNotFound:
            return None

    def pull(self, text: str) -> bool:
        self._progress(f"{text}: asking its registry")
        repository, at, pinned = text.partition("@")
        with self._patience(PULL_SECONDS):
            try:
                if at:
                    self._client.api.pull(repository, tag=pinned)
                else:
                    wanted = Reference.parse(text)
                    self._client.api.pull(wanted.repository, tag=wanted.tag)
            except (DockerException, OSError) as error:
                self._progress(f"{text}: cannot be pulled: {error}")
        return self.find(text) is not None

    def make(self, wanted: Reference, kind: Kind, old: Image | None) -> None:
        recipe = self._recipes[kind]
        content = self._layer(kind)
        changes = [*recipe.changes(), *_identity(wanted, kind)]
        fingerprint = digest(content, changes)
        if old is not None and old.labels.get(RECIPE_LABEL) == fingerprint:
            return
        self._progress(f"{wanted.repository}:{wanted.tag}: making a stand-in for {recipe.what}")
        self._import(wanted, content, [*changes, f"LABEL {RECIPE_LABEL}={fingerprint}"])
        made = self.find(f"{wanted.repository}:{wanted.tag}")
        if made is None or made.labels.get(RECIPE_LABEL) != fingerprint:
            raise StandInImpossible(
                f"the daemon took the image {wanted.repository}:{wanted.tag} but does not have it",
                hint="its log says why; a full disk is the usual reason",
            )
        if old is not None:
            self._drop(old)

    def _import(self, wanted: Reference, content: bytes, changes: list[str]) -> None:
        with self._patience(IMPORT_SECONDS):
            try:
                self._client.api.import_image_from_data(
                    content, repository=wanted.repository, tag=wanted.tag, changes=changes
                )
            except (DockerException, OSError) as error:
                raise StandInImpossible(
                    f"the daemon refused the image {wanted.repository}:{wanted.tag}: {error}",
                    hint="the reference must be one that `docker tag` would take",
                ) from error

    def _drop(self, old: Image) -> None:
        """Remove what lost its name; one that a container still uses stays."""
        try:
            old.reload()
            if old.id is not None and not old.tags:
                self._client.images.remove(old.id)
        except APIError:
            self._progress(f"the old stand-in {old.short_id} is still in use and stays")

    def _assembled(self, kind: Kind) -> bytes:
        recipe: Recipe = self._recipes[kind]
        return layer(recipe.parts, functools.partial(self._program, kind))

    def _program(self, kind: Kind) -> tuple[Path, bool]:
        arch = str(self._client.version()["Arch"])
        found = standin_program.program(arch, self._env, self._progress)
        if found is not None:
            return found, False
        if kind == "service":
            return standin_program.busybox(), True
        raise StandInImpossible(
            f"the stand-in for {self._recipes[kind].what} needs Go, and there is none",
            hint="install golang (1.22 or newer), or pull the real image",
        )

    @contextmanager
    def _patience(self, seconds: int) -> Generator[None]:
        """How long the daemon may be silent."""
        before = self._client.api.timeout
        self._client.api.timeout = seconds
        try:
            yield
        finally:
            self._client.api.timeout = before


def _identity(wanted: Reference, kind: Kind) -> list[str]:
    """What one program says of itself in each of the seven services."""
    if kind != "service":
        return []
    return [f"ENV STANDIN_SERVICE={wanted.name}", f"ENV STANDIN_VERSION={wanted.tag}"]
