"""Whether a binary is what it should be: asked once by running it, then remembered by a stamp."""

import json
import subprocess
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

from tools.engine.errors import BadEngineError

RUN_SECONDS = 30


@dataclass(frozen=True)
class Stamp:
    """The answer of a binary and the file that gave it; another size or time voids it."""

    version: str
    source: str
    size: int
    modified_ns: int

    @classmethod
    def of(cls, binary: Path, version: str, source: str) -> Self:
        """Describe the file as it is now. Raises OSError."""
        found = binary.stat()
        return cls(version, source, found.st_size, found.st_mtime_ns)

    @classmethod
    def read(cls, path: Path, binary: Path) -> Self | None:
        """Return the stamp at `path` if `binary` still is the file it was made from."""
        try:
            stamp = cls(**json.loads(path.read_text()))
            return stamp if stamp == cls.of(binary, stamp.version, stamp.source) else None
        except (OSError, ValueError, TypeError):
            return None

    def write(self, path: Path) -> None:
        """Save to `path`. Raises OSError."""
        path.write_text(json.dumps(asdict(self)) + "\n")


def version_of(binary: Path) -> str:
    """Run `pulumi version` with nothing of the caller's environment, return it without the v.

    Raises BadEngineError when it does not run, fails, or needs longer than 30 s.
    """
    hint = f"remove {binary} or put another pulumi on the PATH"
    with tempfile.TemporaryDirectory(prefix="agent-docker-") as home:
        # Even `version` writes logs into its home.
        env = {
            "PATH": "/usr/bin:/bin",
            "HOME": home,
            "PULUMI_HOME": home,
            "PULUMI_SKIP_UPDATE_CHECK": "true",
        }
        try:
            answer = subprocess.run(  # noqa: S603 - the binary in question
                [binary, "version"],
                env=env,
                cwd=home,
                capture_output=True,
                text=True,
                check=True,
                timeout=RUN_SECONDS,
            )
        except (OSError, subprocess.SubprocessError) as error:
            raise BadEngineError(f"`{binary} version` failed: {error}", hint) from error
    return answer.stdout.strip().removeprefix("v")
