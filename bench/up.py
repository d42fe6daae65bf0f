"""How long `make up` takes on a fresh clone with a warm engine cache. `make bench-up`.

The clone has a home of its own, so packages come from the registry (or its mirror) again; only the
engine's cache is that of this user.
"""

import argparse
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench import figures
from tools.engine.cache import cache_root

ROOT = Path(__file__).resolve().parent.parent
_TARGET_SECONDS = 60.0
_KEPT = ("PATH", "LANG", "PIP_", "UV_", "SSL_", "GO", "HTTP", "http", "NO_PROXY", "no_proxy")
_TEXTS = {
    "venv": "Python environment",
    "engine": "Pulumi engine",
    "cloud": "local cloud",
    "stack": "pulumi up",
    "healthy": "machines answer",
}
console = Console()


def main() -> None:
    """Clone, bring up, take down; print the phases and write them."""
    parser = argparse.ArgumentParser(prog="python -m bench.up", description=__doc__)
    parser.add_argument("--source", type=Path, default=ROOT, help="repository to clone")
    source = parser.parse_args().source
    with _clone(source) as (clone, env):
        venv = _timed(["make", "-s", "venv"], clone, env)[0]
        rest, out = _timed(["make", "-s", "up", "UP_FLAGS=--json"], clone, env)
        phases = {"venv": venv, **json.loads(out)["phases"]}
    numbers = {"warm_s": venv + rest, **{f"{name}_s": phases[name] for name in _TEXTS}}
    numbers = {name: round(seconds, 2) for name, seconds in numbers.items()}
    table = Table(title="make up, fresh clone, warm engine cache", title_justify="left")
    table.add_column("phase")
    table.add_column("seconds", justify="right")
    for name, text in _TEXTS.items():
        table.add_row(text, f"{numbers[f'{name}_s']:.1f}")
    table.add_row(f"all (target: at most {_TARGET_SECONDS:.0f})", f"{numbers['warm_s']:.1f}")
    console.print(table)
    console.print(f"written to {os.path.relpath(figures.write('up', numbers))}")


@contextmanager
def _clone(source: Path) -> Generator[tuple[Path, Mapping[str, str]]]:
    """A fresh clone and the environment of a new user in it; whatever runs there is ended."""
    folder = Path(tempfile.mkdtemp(prefix="agent-docker-up-"))
    env = {name: value for name, value in os.environ.items() if name.startswith(_KEPT)}
    env |= {"HOME": str(folder / "home"), "AGENT_DOCKER_CACHE": str(cache_root(os.environ))}
    clone = folder / "clone"
    try:
        (folder / "home").mkdir()
        _timed(["git", "clone", "--quiet", str(source), str(clone)], folder, env)
        yield clone, env
    finally:
        if (clone / ".venv").exists():
            _timed(["make", "-s", "down"], clone, env)
        shutil.rmtree(folder, ignore_errors=True)


def _timed(command: list[str], cwd: Path, env: Mapping[str, str]) -> tuple[float, str]:
    """Run `command`; its seconds and what it printed."""
    begun = time.monotonic()
    done = subprocess.run(  # noqa: S603 - our own targets
        command, cwd=cwd, env=dict(env), stdout=subprocess.PIPE, text=True, check=True
    )
    return time.monotonic() - begun, done.stdout


if __name__ == "__main__":
    main()
