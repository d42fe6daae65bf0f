"""One container as a backup sees it: run a program in it, move files out of and into it."""

import contextlib
import io
import tarfile
import tempfile
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

from operations import docker_client
from operations.backups.archive import add, as_file
from operations.backups.errors import BackupFailed, Ended, ProgramFailed, tells_of_trouble
from operations.docker_client import docker_api, unreachable

_CALL_SECONDS = 60
_EXIT_SECONDS = 10.0
_POLL_SECONDS = 0.2
_LINES = 5
# Ended as it was told to, or by SIGINT, SIGKILL or SIGTERM.
_KILLED = frozenset({0, 130, 137, 143})
_CHUNK = 1024 * 1024
# As Docker numbers the streams of a program.
_STDOUT = 1
# The exact size ends the input: not every way to a daemon can close one direction alone.
_FED = 'size="$1"; shift; head -c "$size" | "$@"'


@dataclass(frozen=True, kw_only=True)
class Box:
    """The container `name`, whose errors name `service`."""

    # Its type stubs leave what the daemon says open.
    api: Any
    name: str
    service: str

    def inspect(self) -> dict[str, Any]:
        """Docker's own record of it."""
        found: dict[str, Any] = self.api.inspect_container(self.name)
        return found

    def env(self) -> dict[str, str]:
        """Its environment."""
        rows = cast("list[str]", self.inspect()["Config"].get("Env") or [])
        return dict(row.split("=", 1) for row in rows if "=" in row)

    def run(self, *command: str) -> str:
        """What the program printed; BackupFailed unless it ended with 0."""
        out = io.BytesIO()
        self.copy_out(command, out)
        return out.getvalue().decode(errors="replace").strip()

    def succeeds(self, *command: str) -> bool:
        """Whether the program ends with 0."""
        try:
            self.run(*command)
        except BackupFailed:
            return False
        return True

    def copy_out(self, command: Sequence[str], into: BinaryIO) -> str:
        """Run the program; its output goes `into` a file, its error output comes back."""
        said: list[bytes] = []
        with self._refusals():
            made = self.api.exec_create(self.name, list(command))["Id"]
            with self._line(made) as line:
                for stream, data in _frames(line):
                    if stream == _STDOUT:
                        into.write(data)
                    else:
                        said.append(data)
            code = self._exit_code(made)
        text = b"".join(said).decode(errors="replace")
        self._require_success(code, command[0], text)
        return text

    def feed(self, command: Sequence[str], source: Path) -> None:
        """Run the program with the file as its input."""
        fed = ["sh", "-c", _FED, "sh", str(source.stat().st_size), *command]
        with self._refusals(), source.open("rb") as file:
            made = self.api.exec_create(self.name, fed, stdin=True)["Id"]
            with self._line(made) as line:
                # One that ends early says below why.
                with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                    while chunk := file.read(_CHUNK):
                        line.sendall(chunk)
                said = b"".join(data for _, data in _frames(line))
            code = self._exit_code(made)
        self._require_success(code, command[0], said.decode(errors="replace"))

    def take(self, path: str, into: BinaryIO) -> None:
        """Copy the file at `path` out."""
        with self._archive(path) as tar:
            for member in tar:
                file = tar.extractfile(member) if member.isfile() else None
                if file is not None:
                    while chunk := file.read(_CHUNK):
                        into.write(chunk)
                    return
        raise BackupFailed(f"{self.service}: {path} in {self.name} is no file")

    def read(self, path: str) -> str | None:
        """The text of a small file; None when there is none."""
        out = io.BytesIO()
        try:
            self.take(path, out)
        except docker_client.NotFound:
            return None
        return out.getvalue().decode()

    def put(self, folder: str, files: Mapping[str, Path | bytes], *, user: str | None) -> None:
        """Write files below `folder`, which may be a volume of a container that is stopped."""
        uid, _, gid = (user or "0").partition(":")
        with tempfile.TemporaryFile() as packed:
            with tarfile.open(fileobj=packed, mode="w") as tar:
                for parent in sorted({p for n in files if (p := n.rpartition("/")[0])}):
                    add(tar, parent, None, int(uid), int(gid or uid))
                for name, content in files.items():
                    add(tar, name, content, int(uid), int(gid or uid))
            packed.seek(0)
            if not self.api.put_archive(self.name, folder, packed):
                raise BackupFailed(f"{self.service}: the daemon did not take files for {folder}")

    def stop(self, *, grace: int) -> None:
        """Stop it within `grace` seconds."""
        # Ours must be the longer one.
        self.api.timeout, before = grace + _CALL_SECONDS, self.api.timeout
        try:
            self.api.stop(self.name, timeout=grace)
        finally:
            self.api.timeout = before

    def start(self) -> None:
        """Start it."""
        self.api.start(self.name)

    def wait(self, ready: Callable[[], bool], *, seconds: float, until: str) -> None:
        """Ask until it is `ready`; Ended or BackupFailed, with its last words, when it never is."""
        end = time.monotonic() + seconds
        while not ready():
            state = self.inspect()["State"]
            if not state["Running"]:
                raise self._ended(state)
            if time.monotonic() > end:
                raise BackupFailed(
                    f"{self.service}: {self.name} took over {seconds:g} s until {until}: "
                    f"{self._words()}"
                )
            time.sleep(_POLL_SECONDS)

    def _ended(self, state: Mapping[str, Any]) -> Ended:
        code, words = state["ExitCode"], self._words()
        return Ended(
            f"{self.service}: {self.name} ended with {code}: {words}",
            killed=bool(state.get("OOMKilled")) or code in _KILLED or tells_of_trouble(words),
        )

    def _words(self) -> str:
        said: bytes = self.api.logs(self.name, tail=_LINES)
        return said.decode(errors="replace").strip()

    def _require_success(self, code: int | None, program: str, said: str) -> None:
        if code == 0:
            return
        told = "\n".join(said.strip().splitlines()[-_LINES:]) or "it said nothing"
        raise ProgramFailed(
            f"{self.service}: {program} in {self.name} ended with {code}: {told}", code=code
        )

    def _exit_code(self, made: str) -> int | None:
        """Its output may end a moment before it does."""
        end = time.monotonic() + _EXIT_SECONDS
        while (code := self.api.exec_inspect(made)["ExitCode"]) is None and time.monotonic() < end:
            time.sleep(_POLL_SECONDS)
        return cast("int | None", code)

    @contextlib.contextmanager
    def _refusals(self) -> Generator[None]:
        """A container may end at any moment; whoever waits for it asks again, or sees that."""
        try:
            yield
        except docker_client.APIError as error:
            # One whose stream never began still holds its connection.
            if error.response is not None:
                error.response.close()
            raise BackupFailed(f"{self.service}: {error.explanation or error}") from None

    @contextlib.contextmanager
    def _line(self, made: str) -> Generator[Any]:
        """The program's input and output; the client's own streams do not close theirs."""
        stream = self.api.exec_start(made, socket=True)
        # Over a local socket it is a file on top of that.
        line = getattr(stream, "_sock", stream)
        with contextlib.closing(line), contextlib.closing(stream):
            yield line

    @contextlib.contextmanager
    def _archive(self, path: str) -> Generator[tarfile.TarFile]:
        parts, _ = self.api.get_archive(self.name, path)
        with tarfile.open(fileobj=as_file(parts), mode="r|") as tar:
            yield tar
        # Read to its end, the connection goes back.
        for _ in parts:
            pass


def _frames(line: Any) -> Iterator[tuple[int, bytes]]:  # noqa: ANN401 - a socket, or ssh's
    from docker.utils import socket as frames  # noqa: PLC0415 - as in operations.docker_client

    client: Any = frames
    return cast("Iterator[tuple[int, bytes]]", client.frames_iter(line, tty=False))


@contextlib.contextmanager
def connected(url: str) -> Generator[Any]:
    """The daemon's API. What it refuses is BackupFailed, a daemon that is gone Unreachable."""
    try:
        with docker_api(url, timeout=_CALL_SECONDS) as api:
            yield api
    except docker_client.APIError as error:
        raise BackupFailed(f"the Docker daemon {url} refused: {error.explanation}") from None
    # No OSError here: a full disk of this machine is not the daemon's.
    except (docker_client.DockerException, docker_client.RequestException) as error:
        raise unreachable(url, error) from None
