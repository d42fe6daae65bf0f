"""CPU and wall seconds of a command with everything that it starts.

`python -m bench.cpu COMMAND…` runs the command as the reaper of all its descendants, so that also
those whose parent died first are counted, and prints one JSON line.
"""

import ctypes
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What a command took, in seconds; `cpu` is user + system."""

    cpu: float
    wall: float
    code: int


def measure(command: Sequence[str], *, cwd: Path, env: Mapping[str, str]) -> Cost:
    """Run `command` once; its output is thrown away unless it fails."""
    done = subprocess.run(  # noqa: S603 - our own benchmark
        [sys.executable, str(Path(__file__).resolve()), *command],
        cwd=cwd,
        env=dict(env),
        capture_output=True,
        text=True,
        check=True,
    )
    cost = Cost(**json.loads(done.stdout.splitlines()[-1]))
    if cost.code:
        raise RuntimeError(f"{' '.join(command)} ended with {cost.code}:\n{done.stderr}")
    return cost


def main() -> None:
    """Run the command in the arguments and print its cost."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    begun = time.monotonic()
    done = subprocess.run(  # noqa: S603 - our own benchmark
        sys.argv[1:], stdout=sys.stderr, check=False
    )
    wall = time.monotonic() - begun
    try:
        while True:
            os.waitpid(-1, 0)
    except ChildProcessError:
        pass
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    sys.stdout.write(
        json.dumps({"cpu": used.ru_utime + used.ru_stime, "wall": wall, "code": done.returncode})
        + "\n"
    )


if __name__ == "__main__":
    main()
