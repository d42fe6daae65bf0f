"""What ran before `up` began, kept until it ends: an `up` that fails or is stopped puts it back."""

import contextlib
import json
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cli import cloud_process, leftovers, services
from cli.files import LocalFiles
from cli.profile import Profile, profile_on
from cli.progress import Progress
from contracts.labels import Label
from operations import state
from operations.state import StackState
from providers.vastai.client import VastClient
from providers.vastai.errors import NotFound
from providers.vastai.models import Instance

_END_SECONDS = 20.0
_POLL_SECONDS = 0.2
# Work folders of operations: not part of what is remembered.
_WORK_FOLDERS = shutil.ignore_patterns("operation-*", "*.lock")


def wipe(files: LocalFiles) -> bool:
    """Stop the cloud and forget its stack; keys, passphrase and owner stay. Whether one ran."""
    leftovers.end_operations(files)
    services.stop_autoscaler(files)
    stopped = cloud_process.stop(files)
    services.forget_passive(files)
    for folder in files.of_one_cloud:
        shutil.rmtree(folder, ignore_errors=True)
    return stopped


@dataclass(frozen=True, kw_only=True)
class Before:
    """A cloud that ran, the contracts that lived in it, and a copy of its stack.

    `cut_off` when the stack does not tell of exactly these machines: a killed update left them.
    """

    files: LocalFiles
    profile: Profile
    contracts: frozenset[int]
    cut_off: bool

    @classmethod
    def of(cls, files: LocalFiles, cloud: Mapping[str, Any], env: Mapping[str, str]) -> "Before":
        """Look at the cloud, and copy the stack's files as they are: no engine is at work there."""
        profile = profile_on(files, cloud, env)
        with profile.vast() as client:
            contracts = frozenset(machine.id for machine in _ours(client, files))
        shutil.rmtree(files.before, ignore_errors=True)
        for folder in _kept(files):
            shutil.copytree(folder, files.before / folder.name, ignore=_WORK_FOLDERS)
        return cls(
            files=files,
            profile=profile,
            contracts=contracts,
            cut_off=_cut_off(_state(files), contracts),
        )

    def put_back(self, progress: Progress) -> bool:
        """Restore it; whether every machine of before is still there.

        A machine that the stopped update had ended already cannot be brought back: its slot gets
        a new one.
        """
        leftovers.end_operations(self.files)
        if cloud_process.running(self.files) is None:
            wipe(self.files)
            return False
        with self.profile.vast() as client:
            live = {machine.id for machine in _ours(client, self.files)}
            for contract in live - self.contracts:
                _end(client, contract)
        for folder in _kept(self.files):
            _put_back(folder, self.files.before / folder.name)
        if live >= self.contracts:
            return True
        progress.say("renting anew what the stopped update had ended")
        self.profile.fleet(progress.on_event).recover()
        return False


def finish(files: LocalFiles) -> None:
    """Complete a restoring that was killed between its two steps."""
    for folder in _kept(files):
        copy = files.before / folder.name
        if not folder.exists() and copy.exists():
            copy.rename(folder)
    shutil.rmtree(files.before, ignore_errors=True)


def _state(files: LocalFiles) -> StackState:
    checkpoint = files.checkpoint
    document: Any = json.loads(checkpoint.read_text())["checkpoint"] if checkpoint else {}
    return state.read(document.get("latest"))


def _cut_off(seen: StackState, contracts: frozenset[int]) -> bool:
    return bool(seen.pending) or set(contracts) != {m.contract for m in seen.machines}


def _kept(files: LocalFiles) -> tuple[Path, ...]:
    """What tells of the stack: state with locks and history; intents with records of engines."""
    return files.backend, files.operations


def _put_back(folder: Path, copy: Path) -> None:
    # A folder that is as it was is left alone: somebody else's engine may be at work on it.
    if _content(folder) == _content(copy):
        return
    cut = folder.with_name("tmp") / f"cut-{folder.name}"
    shutil.rmtree(cut, ignore_errors=True)
    # Renamed, not copied: whenever this is cut off, `finish` can complete it.
    folder.rename(cut)
    copy.rename(folder)
    shutil.rmtree(cut, ignore_errors=True)


def _content(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def _ours(client: VastClient, files: LocalFiles) -> list[Instance]:
    owner = files.read("owner")
    labels = [(machine, Label.parse(machine.label)) for machine in client.instances()]
    return [machine for machine, label in labels if label and label.owner == owner]


def _end(client: VastClient, contract: int) -> None:
    deadline = time.monotonic() + _END_SECONDS
    with contextlib.suppress(NotFound):
        client.destroy(contract)
        while time.monotonic() < deadline:
            client.instance(contract)
            time.sleep(_POLL_SECONDS)
