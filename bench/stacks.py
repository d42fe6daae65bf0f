"""Stacks for benchmarks: ours on the emulator, and a minimal one beside it."""

import json
import shutil
import sys
import tempfile
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from bench.cpu import Cost, measure
from tools import engine

ROOT = Path(__file__).resolve().parent.parent
OWNER = "be0c4be0c4be"
KEY = "local-bench"

# The same engine, host and SDK, and resources that do nothing: what no program can undercut.
_MINIMAL = """
import pulumi
from pulumi.dynamic import CreateResult, Resource, ResourceProvider


class Trivial(ResourceProvider):
    def create(self, props):
        return CreateResult(props["name"], props)


class Thing(Resource, name="Thing"):
    pass


for number in range({count}):
    Thing(Trivial(), f"trivial-{{number}}", {{"name": f"trivial-{{number}}"}})
"""


@dataclass(frozen=True, kw_only=True)
class BenchStack:
    """One stack below one folder, driven by the plain `pulumi` command."""

    folder: Path
    env: Mapping[str, str]
    pulumi: Path

    def pulumi_run(self, *arguments: str) -> Cost:
        """Run `pulumi` and measure it with everything it starts."""
        return measure([str(self.pulumi), *arguments], cwd=self.folder / "work", env=self.env)

    def up(self, *arguments: str) -> Cost:
        """`pulumi up` without a preview."""
        return self.pulumi_run("up", "--yes", "--skip-preview", "--stack", "gpu", *arguments)

    def settings(self, fleet: Mapping[str, Any]) -> None:
        """Write the stack's settings."""
        path = self.folder / "work" / "Pulumi.gpu.yaml"
        yaml = YAML(typ="safe")
        document: dict[str, Any] = (yaml.load(path) if path.exists() else None) or {}
        document["config"] = {"agent-docker:owner": OWNER, "agent-docker:fleet": dict(fleet)}
        with path.open("w") as file:
            yaml.dump(document, file)

    def state_bytes(self) -> int:
        """Size of the stack's state file."""
        files = (self.folder / "backend" / ".pulumi" / "stacks").rglob("gpu.json")
        return sum(path.stat().st_size for path in files)

    def slots(self) -> int:
        """Machines that the state records."""
        file = next((self.folder / "backend" / ".pulumi" / "stacks").rglob("gpu.json"))
        rows = json.loads(file.read_text())["checkpoint"]["latest"]["resources"]
        return sum("vastai:Instance" in row["type"] for row in rows)


@contextmanager
def stack(url: str, *, minimal: int | None = None, paced: bool = False) -> Generator[BenchStack]:
    """An empty stack of our program (or a minimal one of `minimal` resources); gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="agent-docker-bench-"))
    try:
        for name in ("work", "backend", "home", "run", "tmp"):
            (folder / name).mkdir(mode=0o700)
        # As in an operation: no log of every step.
        (folder / "home" / "logs").touch()
        (folder / "passphrase").write_text("bench")
        program = _MINIMAL.format(count=minimal)
        if minimal is None:
            program = (ROOT / "__main__.py").read_text()
        (folder / "work" / "__main__.py").write_text(program)
        runtime = {"name": "python", "options": {"virtualenv": sys.prefix}}
        with (folder / "work" / "Pulumi.yaml").open("w") as file:
            YAML(typ="safe").dump({"name": "agent-docker", "runtime": runtime}, file)
        found = engine.ensure()
        env = engine.child_environment(
            found,
            python=Path(sys.executable),
            home=folder / "home",
            backend_url=f"file://{folder / 'backend'}",
            passphrase_file=folder / "passphrase",
            extra={
                "TMPDIR": str(folder / "tmp"),
                "VASTAI_API_KEY": KEY,
                "TAILSCALE_AUTH_KEY": "local-bench-tailnet",
                "VAST_URL": url,
                "AGENT_DOCKER_RUN_DIR": str(folder / "run"),
                **({} if paced else {"AGENT_DOCKER_VAST_PACE": "off"}),
            },
        )
        made = BenchStack(folder=folder, env=env, pulumi=found.pulumi)
        made.pulumi_run("stack", "init", "gpu")
        yield made
    finally:
        shutil.rmtree(folder, ignore_errors=True)
