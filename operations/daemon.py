"""The Docker daemon of the NAS: what runs there now. Nothing here changes what a stack records."""

import contextlib
import socket
import threading
from collections.abc import Collection, Generator, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from contracts.errors import AgentDockerError
from operations import docker_client
from operations.docker_client import docker_api, unreachable

_STACK_LABEL = "agent-docker.stack"
_ROLE_LABEL = "agent-docker.role"
_SERVICE_LABEL = "agent-docker.service"
_CALL_SECONDS = 20.0
# The longest grace that a service may have, and some more.
_REMOVE_SECONDS = 660.0
# That of Docker 20.10.
_OLDEST_API = (1, 41)
_CONNECT_SECONDS = 2.0
# As Docker writes it for "never".
_NEVER = "0001-"


class TooOld(AgentDockerError):
    """The daemon lacks what the services need; nothing was changed."""

    exit_code = 4


@dataclass(frozen=True, kw_only=True)
class Seen:
    """One container as the daemon reports it.

    `status` is Docker's word (running, exited, restarting, created, paused, dead), `health` the
    outcome of its own last checks (healthy, unhealthy, starting), None without any.
    """

    name: str
    id: str
    image: str
    image_id: str
    status: str
    health: str | None
    exit_code: int
    out_of_memory: bool
    error: str
    restarts: int
    started: datetime | None
    test: tuple[str, ...] = ()
    # Seconds that one run of the test may take.
    patience: float = 30.0
    networks: tuple[str, ...] = ()

    @property
    def runs(self) -> bool:
        """Whether it is up at this moment."""
        return self.status == "running"

    @property
    def ended(self) -> bool:
        """Whether it does not run and will not by itself."""
        return self.status in {"created", "exited", "dead"}


@dataclass(frozen=True, kw_only=True)
class Probe:
    """The answer of one check that was made now."""

    healthy: bool
    said: str


@dataclass(frozen=True, kw_only=True)
class Daemon:
    """Calls on the daemon at `url` (unix:// or ssh://). Each raises Unreachable."""

    url: str

    @property
    def is_local(self) -> bool:
        """Whether its published ports can be reached from here."""
        return self.url.startswith("unix://")

    def require_recent(self) -> datetime:
        """The daemon's time now.

        TooOld unless it is Docker 20.10 or newer, the oldest that the services were run on.
        """
        with self._api() as api:
            told: Mapping[str, Any] = api.version()
            now = datetime.fromisoformat(api.info()["SystemTime"])
        if not is_recent(str(told.get("ApiVersion") or "")):
            raise TooOld(
                f"the Docker daemon {self.url} is version {told.get('Version')}, 20.10 or newer "
                "is needed; nothing was changed",
                hint="update Docker on the NAS",
            )
        return now

    def look(self, stack: str) -> dict[str, Seen]:
        """Every service's container of `stack`, by the container's name."""
        with self._api() as api:
            wanted = [f"{_STACK_LABEL}={stack}", f"{_ROLE_LABEL}=service"]
            found: list[Seen] = []
            for row in api.containers(all=True, filters={"label": wanted}):
                # It may have gone since it was listed.
                with contextlib.suppress(docker_client.NotFound):
                    found.append(seen_in(api.inspect_container(row["Id"])))
        return {seen.name: seen for seen in found}

    def image_ids(self, references: Collection[str]) -> dict[str, str]:
        """The id of each of these images that the daemon has, by its reference."""
        found: dict[str, str] = {}
        with self._api() as api:
            for reference in references:
                with contextlib.suppress(docker_client.NotFound):
                    found[reference] = api.inspect_image(reference)["Id"]
        return found

    def containers(self, stack: str) -> frozenset[str]:
        """Ids of all containers of `stack`, those too that only write files."""
        with self._api() as api:
            found = api.containers(all=True, filters={"label": f"{_STACK_LABEL}={stack}"})
        return frozenset(str(row["Id"]) for row in found)

    def remove_others(
        self, stack: str, prefix: str, recorded: Collection[str], *, since: datetime
    ) -> list[str]:
        """Remove containers of `stack` made since then whose ids are not `recorded`; their names.

        Another stack of the same name may be on the daemon: its containers have another prefix.
        """
        removed: list[str] = []
        with self._api(timeout=_REMOVE_SECONDS) as api:
            for row in api.containers(all=True, filters={"label": f"{_STACK_LABEL}={stack}"}):
                name = _resource_of(row["Labels"])
                if row["Id"] in recorded or f"/{prefix}{name}" not in row["Names"]:
                    continue
                with contextlib.suppress(docker_client.NotFound):
                    if _created(api.inspect_container(row["Id"])) < since:
                        continue
                    # It may have begun to work: its data must be whole.
                    api.stop(row["Id"])
                    api.remove_container(row["Id"], force=True)
                    removed.append(name)
        return removed

    def remove_other_network(
        self, stack: str, name: str, recorded: Collection[str], *, since: datetime
    ) -> None:
        """Remove the network `name` of `stack` if it was made since then and nobody is on it.

        Not if its id is `recorded`.
        """
        with self._api() as api:
            for row in api.networks(filters={"label": f"{_STACK_LABEL}={stack}"}):
                if row["Name"] != name or row["Id"] in recorded:
                    continue
                with contextlib.suppress(docker_client.NotFound):
                    found = api.inspect_network(row["Id"])
                    if _created(found) >= since and not found.get("Containers"):
                        api.remove_network(row["Id"])

    def probe(self, seen: Seen) -> Probe:
        """Run the container's own health test in it, now."""
        if not seen.test:
            return Probe(healthy=False, said="it has no health test")
        found: list[Probe | AgentDockerError] = []

        def ask() -> None:
            try:
                found.append(self._exec(seen))
            except AgentDockerError as error:
                found.append(error)

        # Docker's client waits for the end of a program without a limit.
        asking = threading.Thread(target=ask, daemon=True)
        asking.start()
        asking.join(seen.patience)
        if not found:
            return Probe(
                healthy=False, said=f"its health test did not end within {seen.patience:g} s"
            )
        if isinstance(found[0], AgentDockerError):
            raise found[0]
        return found[0]

    def _exec(self, seen: Seen) -> Probe:
        shell = ("/bin/sh", "-c") if seen.test[0] == "CMD-SHELL" else ()
        with self._api() as api:
            try:
                made = api.exec_create(seen.id, [*shell, *seen.test[1:]])
                said: bytes = api.exec_start(made["Id"])
                code = api.exec_inspect(made["Id"])["ExitCode"]
            except docker_client.APIError as error:
                return Probe(healthy=False, said=str(error.explanation or error))
        text = said.decode(errors="replace").strip()
        return Probe(healthy=code == 0, said=text or f"its health test ended with {code}")

    def remove(self, seen: Seen) -> None:
        """Stop the container as its image asks for, and remove it; its volumes stay."""
        gone = contextlib.suppress(docker_client.NotFound)
        with self._api(timeout=_REMOVE_SECONDS) as api, gone:
            api.stop(seen.id)
            api.remove_container(seen.id, force=True)

    def logs(self, name: str, *, tail: int) -> str:
        """The last `tail` lines that the container wrote."""
        with self._api() as api, self._known(name):
            said: bytes = api.logs(name, tail=tail)
        return said.decode(errors="replace").rstrip()

    def follow(self, name: str, *, tail: int) -> Iterator[str]:
        """What the container writes, as it comes, after its last `tail` lines."""
        with self._api(timeout=None) as api, self._known(name):
            for part in api.logs(name, tail=tail, stream=True, follow=True):
                yield part.decode(errors="replace")

    def restart(self, name: str, *, grace: int) -> None:
        """Stop the container within `grace` seconds and start it again."""
        with self._api(timeout=_CALL_SECONDS + grace) as api, self._known(name):
            api.restart(name, timeout=grace)

    @contextlib.contextmanager
    def _known(self, name: str) -> Generator[None]:
        try:
            yield
        except docker_client.NotFound:
            raise AgentDockerError(
                f"{name} has no container on {self.url}",
                hint="`agent-docker nas status` shows what there is, `nas up` makes the rest",
            ) from None

    @contextlib.contextmanager
    def _api(self, timeout: float | None = _CALL_SECONDS) -> Generator[Any]:
        try:
            with docker_api(self.url, timeout=timeout) as api:
                yield api
        except docker_client.NotFound:
            raise
        except (docker_client.DockerException, docker_client.RequestException, OSError) as error:
            raise unreachable(self.url, error) from None


def _resource_of(labels: Mapping[str, str]) -> str:
    """The name of the resource that makes a container with these labels."""
    files = "-files" if labels.get(_ROLE_LABEL) == "files" else ""
    return f"{labels.get(_SERVICE_LABEL)}{files}"


def is_recent(api: str) -> bool:
    """Whether a daemon of this API version, e.g. `1.41`, can run the services."""
    parts = api.split(".")
    return all(part.isdigit() for part in parts) and tuple(map(int, parts)) >= _OLDEST_API


def answers(address: str, port: int) -> bool:
    """Whether anything takes connections on `address`."""
    try:
        with socket.create_connection((address, port), timeout=_CONNECT_SECONDS):
            return True
    except OSError:
        return False


def seen_in(row: Mapping[str, Any]) -> Seen:
    """What matters in Docker's own record of a container."""
    state: Mapping[str, Any] = row["State"]
    health: Mapping[str, Any] = state.get("Health") or {}
    check: Mapping[str, Any] = row["Config"].get("Healthcheck") or {}
    networks: Mapping[str, Any] = row["NetworkSettings"].get("Networks") or {}
    return Seen(
        name=str(row["Name"]).lstrip("/"),
        id=row["Id"],
        image=row["Config"]["Image"],
        image_id=row["Image"],
        status=state["Status"],
        health=health.get("Status"),
        exit_code=int(state.get("ExitCode") or 0),
        out_of_memory=bool(state.get("OOMKilled")),
        error=str(state.get("Error") or ""),
        restarts=int(row.get("RestartCount") or 0),
        started=_time(str(state.get("StartedAt") or "")),
        test=tuple(check.get("Test") or ()),
        patience=float(check.get("Timeout") or 30e9) / 1e9,
        networks=tuple(sorted(networks)),
    )


def _created(row: Mapping[str, Any]) -> datetime:
    return datetime.fromisoformat(row["Created"])


def _time(text: str) -> datetime | None:
    """Docker's time; None for "never"."""
    return None if not text or text.startswith(_NEVER) else datetime.fromisoformat(text)
