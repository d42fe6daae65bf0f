"""What this machine has, what it lacks, and what to do about it. Shows no secret."""

import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass

from cli import cloud_process
from cli.profile import LocalFiles
from cli.views import out
from contracts.errors import AgentDockerError
from providers.vastai.credentials import KEY_VARIABLE, Credentials

_PYTHON = (3, 11)


@dataclass(frozen=True, kw_only=True)
class Check:
    """One thing looked at: what was found and where; `fix` when it is missing."""

    name: str
    ok: bool
    found: str
    fix: str | None = None


def examine(env: Mapping[str, str]) -> list[Check]:
    """Every check, in the order in which one needs the things. Starts and installs nothing."""
    return [_python(), _engine(env), *_builders(env), _loopback(), _local(env), _production(env)]


def show(checks: list[Check]) -> None:
    """The checks for a person."""
    for check in checks:
        mark = "[green]✓[/green]" if check.ok else "[red]✗[/red]"
        out.print(f"{mark} {check.name}: ", end="")
        out.print(check.found, markup=False)
        if check.fix:
            out.print("    ", end="")
            out.print(check.fix, markup=False)


def _python() -> Check:
    version = ".".join(map(str, sys.version_info[:3]))
    ok = sys.version_info >= _PYTHON
    fix = None if ok else "install Python 3.11 or newer"
    return Check(name="Python", ok=ok, found=f"{version} at {sys.executable}", fix=fix)


def _engine(env: Mapping[str, str]) -> Check:
    from tools import engine  # noqa: PLC0415 - doctor works where it is broken

    try:
        found = engine.locate(env)
    except engine.EngineError as error:
        return Check(name="Pulumi engine", ok=False, found=error.message, fix=error.hint)
    if found is None:
        return Check(
            name="Pulumi engine",
            ok=False,
            found=f"no pulumi {engine.PINNED} on the PATH or in the cache",
            fix="`make up` installs it: the official release, or a build from Go modules",
        )
    text = f"{found.version} at {found.pulumi} (from: {found.source})"
    return Check(name="Pulumi engine", ok=True, found=text)


def _builders(env: Mapping[str, str]) -> list[Check]:
    go = shutil.which("go", path=env.get("PATH"))
    text = go or "not found; only needed where Pulumi's releases cannot be reached"
    return [Check(name="Go toolchain", ok=True, found=text)]


def _loopback() -> Check:
    from localcloud.vastai.machines.addresses import available_addresses  # noqa: PLC0415

    kind = available_addresses().kind
    text = "127.64.0.0/16, one address a machine" if kind == "addresses" else "ports of 127.0.0.1"
    return Check(name="Local machines answer on", ok=True, found=text)


def _local(env: Mapping[str, str]) -> Check:
    files = LocalFiles.of(env)
    cloud = cloud_process.running(files)
    text = f"runs, its Vast.ai is {cloud['url']}" if cloud else "is down (`make up` starts it)"
    return Check(name="Local profile", ok=True, found=text)


def _production(env: Mapping[str, str]) -> Check:
    name = "Production"
    try:
        credentials = Credentials.read(env)
    except AgentDockerError as error:
        return Check(name=name, ok=True, found=f"not set up: {error.message}", fix=error.hint)
    missing = [
        variable
        for variable in ("PULUMI_BACKEND_URL", "TAILSCALE_AUTH_KEY")
        if not env.get(variable)
    ]
    if missing:
        found = f"{KEY_VARIABLE} is set, but not {', '.join(missing)}"
        return Check(name=name, ok=True, found=found, fix="see README.md, Production")
    return Check(name=name, ok=True, found=f"set up for {credentials.url}")
