"""What this machine has, what it lacks, and what to do about it. Shows no secret.

A check names its state, the evidence and the fix. `missing` is what a command would fail for;
`off` is a thing that is not set up, and need not be.
"""

import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from cli import cloud_process
from cli.files import FOLDER_VARIABLE, LocalFiles
from cli.profile import GPU, TAILNET_KEY
from cli.settings import fleet_settings, stack_settings
from cli.views import out
from contracts.errors import AgentDockerError
from providers.vastai.credentials import KEY_ALIAS, KEY_VARIABLE, Credentials

State = Literal["ok", "missing", "off"]
_PYTHON = (3, 11)
# A Go build of the engine with its module and compiler caches.
_BUILD_GB = 6.0
_MARKS = {"ok": "[green]✓[/green]", "missing": "[red]✗[/red]", "off": "[dim]-[/dim]"}


@dataclass(frozen=True, kw_only=True)
class Check:
    """One thing looked at."""

    name: str
    state: State
    evidence: str
    fix: str | None = None


def examine(env: Mapping[str, str]) -> list[Check]:
    """Every check, in the order in which one needs the things. Starts and installs nothing."""
    engine = _engine(env)
    return [
        _python(),
        _git(env),
        engine,
        *([] if engine.state == "ok" else _builders(env)),
        _addresses(),
        _folder(env),
        _passphrase(env),
        _local(env),
        _settings(env),
        *_production(env),
    ]


def show(checks: list[Check]) -> None:
    """The checks for a person."""
    for check in checks:
        out.print(f"{_MARKS[check.state]} {check.name}: ", end="")
        out.print(check.evidence, markup=False)
        if check.fix:
            out.print(f"    {check.fix}", markup=False)


def _python() -> Check:
    version = ".".join(map(str, sys.version_info[:3]))
    evidence = f"{version} at {sys.executable}"
    if sys.version_info >= _PYTHON:
        return Check(name="Python", state="ok", evidence=evidence)
    return Check(name="Python", state="missing", evidence=evidence, fix="install 3.11 or newer")


def _git(env: Mapping[str, str]) -> Check:
    git = shutil.which("git", path=env.get("PATH"))
    if git is None:
        return Check(
            name="git", state="missing", evidence="not on the PATH", fix="install git to update"
        )
    said = subprocess.run(  # noqa: S603 - the binary in question
        [git, "--version"], capture_output=True, text=True, check=False, env={}, timeout=10
    )
    version = said.stdout.strip().removeprefix("git version ")
    return Check(name="git", state="ok", evidence=f"{version or 'no version'} at {git}")


def _engine(env: Mapping[str, str]) -> Check:
    from tools import engine  # noqa: PLC0415 - doctor works where it is broken

    name = "Pulumi engine"
    try:
        found = engine.locate(env)
    except engine.EngineError as error:
        return Check(name=name, state="missing", evidence=error.message, fix=error.hint)
    if found is None:
        return Check(
            name=name,
            state="missing",
            evidence=f"no pulumi {engine.PINNED} on the PATH or in the cache",
            fix="`make up` installs it: the official release, or a build from Go modules",
        )
    text = f"{found.version} at {found.pulumi} (from: {found.source})"
    return Check(name=name, state="ok", evidence=text)


def _builders(env: Mapping[str, str]) -> list[Check]:
    go = shutil.which("go", path=env.get("PATH"))
    text = go or "not found; only needed where Pulumi's releases cannot be reached"
    from tools.engine.cache import cache_root  # noqa: PLC0415 - doctor works where it is broken

    root = cache_root(env)
    free = shutil.disk_usage(_existing(root)).free / 1e9
    enough = free >= _BUILD_GB
    return [
        Check(name="Go toolchain", state="ok" if go else "off", evidence=text),
        Check(
            name="Disk for the engine",
            state="ok" if enough else "missing",
            evidence=f"{free:.1f} GB free at {root}, a build needs {_BUILD_GB:.0f} GB",
            fix=None if enough else "free some space, or set AGENT_DOCKER_CACHE to another disk",
        ),
    ]


def _addresses() -> Check:
    from localcloud.vastai.machines.addresses import available_addresses  # noqa: PLC0415

    kind = available_addresses().kind
    text = "127.64.0.0/16, one address a machine" if kind == "addresses" else "ports of 127.0.0.1"
    return Check(name="Local machines answer on", state="ok", evidence=text)


def _folder(env: Mapping[str, str]) -> Check:
    folder = LocalFiles.of(env).folder
    writable = os.access(_existing(folder), os.W_OK) and _existing(folder).is_dir()
    return Check(
        name="Local folder",
        state="ok" if writable else "missing",
        evidence=f"{folder}{'' if writable else ' cannot be written'}",
        fix=None if writable else f"set {FOLDER_VARIABLE} to a folder of yours",
    )


def _passphrase(env: Mapping[str, str]) -> Check:
    return _private("Local passphrase", LocalFiles.of(env).folder / "passphrase", absent="off")


def _private(name: str, path: Path, *, absent: State) -> Check:
    """Whether a file with a secret is readable by its owner only."""
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
    except OSError as error:
        fix = None if absent == "off" else "make the file, or name another one"
        return Check(name=name, state=absent, evidence=f"{path}: {error.strerror}", fix=fix)
    if mode & 0o077:
        evidence = f"{path} has mode {mode:04o}: others can read it"
        return Check(name=name, state="missing", evidence=evidence, fix=f"chmod 600 {path}")
    return Check(name=name, state="ok", evidence=f"{path}, mode {mode:04o}")


def _local(env: Mapping[str, str]) -> Check:
    cloud = cloud_process.running(LocalFiles.of(env))
    if cloud is None:
        return Check(name="Local profile", state="off", evidence="is down (`make up` starts it)")
    text = f"runs, its Vast.ai is {cloud['url']}"
    return Check(name="Local profile", state="ok", evidence=text)


def _settings(env: Mapping[str, str]) -> Check:
    name = f"Settings of {GPU}"
    try:
        settings = stack_settings(GPU, env)
        fleet = fleet_settings(settings, f"Pulumi.{GPU}.yaml")
    except AgentDockerError as error:
        return Check(name=name, state="missing", evidence=error.message, fix=error.hint)
    text = f"{fleet.min} to {fleet.max} x {fleet.gpu}, ${fleet.selection.max_price_per_hour}/h each"
    return Check(name=name, state="ok", evidence=text)


def _production(env: Mapping[str, str]) -> list[Check]:
    """What a real account needs; all of it may be absent, but not half of it be wrong."""
    if not any(env.get(name) for name in (KEY_VARIABLE, KEY_ALIAS, "PULUMI_BACKEND_URL")):
        text = f"not set up: neither {KEY_VARIABLE} nor PULUMI_BACKEND_URL is set"
        return [Check(name="Production", state="off", evidence=text, fix="see README.md")]
    file = env.get("PULUMI_CONFIG_PASSPHRASE_FILE")
    named = [_private("Production passphrase", Path(file), absent="missing")] if file else []
    return [_account(env), _owner(env), *(_set(env, need) for need in _NEEDED), *named]


_NEEDED = ("PULUMI_BACKEND_URL", TAILNET_KEY)


def _account(env: Mapping[str, str]) -> Check:
    try:
        credentials = Credentials.read(env)
    except AgentDockerError as error:
        return Check(name="Vast.ai key", state="missing", evidence=error.message, fix=error.hint)
    return Check(name="Vast.ai key", state="ok", evidence=f"is set, for {credentials.url}")


def _owner(env: Mapping[str, str]) -> Check:
    name = f"Owner of {GPU}"
    try:
        owner = stack_settings(GPU, env).get("owner")
    except AgentDockerError as error:
        return Check(name=name, state="missing", evidence=error.message, fix=error.hint)
    if not owner:
        fix = f"run `agent-docker init {GPU}` once, and commit the file"
        return Check(name=name, state="missing", evidence="the stack has none", fix=fix)
    return Check(name=name, state="ok", evidence=str(owner))


def _set(env: Mapping[str, str], name: str) -> Check:
    if env.get(name):
        return Check(name=name, state="ok", evidence="is set")
    return Check(name=name, state="missing", evidence="is not set", fix="see README.md, Production")


def _existing(path: Path) -> Path:
    """`path`, or its nearest parent that exists."""
    return next(part for part in (path, *path.parents) if part.exists())
