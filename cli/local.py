"""Bringing the local profile up and down.

What an interrupted `up` leaves is what ran before it: a cloud that it started is stopped and its
stack forgotten (the machines lived in that cloud); with a cloud that ran before, the slots that
were there before are restored.
"""

import shutil
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from cli import cloud_process, health
from cli.observe import observe
from cli.profile import LocalFiles, Profile, local_target
from cli.progress import Progress
from cli.views import FleetView
from contracts.errors import AgentDockerError
from contracts.slots import SlotSet
from operations.errors import Busy, Failed, Interrupted
from operations.fleet import Fleet

_BOOT_SECONDS = 60.0
_CUT_OFF = "the account and the stack disagree"


class NotHealthy(AgentDockerError):
    """The fleet is up but does not answer."""


def up(
    files: LocalFiles, env: Mapping[str, str], progress: Progress, *, vast_port: int
) -> FleetView:
    """Engine, local cloud, `pulumi up`, and wait until every machine answers."""
    from tools import engine  # noqa: PLC0415 - only the local profile needs it

    with progress.phase("engine", "the Pulumi engine"):
        engine.ensure(env, on_progress=progress.say)
    files.prepare()
    undo: list[Callable[[], object]] = []
    try:
        fleet = _bring_up(files, env, progress, vast_port, undo)
        with progress.phase("healthy", "machines boot and answer"):
            return _wait_healthy(fleet, progress)
    except (KeyboardInterrupt, Interrupted):
        with _uninterrupted():
            progress.say("interrupted: putting back what ran before", done=True)
            for step in reversed(undo):
                step()
        raise


def _bring_up(
    files: LocalFiles,
    env: Mapping[str, str],
    progress: Progress,
    vast_port: int,
    undo: list[Callable[[], object]],
) -> Fleet:
    cloud = cloud_process.running(files)
    fresh = cloud is None
    if fresh:
        # Whatever an earlier cloud's stack recorded died with that cloud.
        undo.append(lambda: wipe(files))
        with progress.phase("cloud", "the local Vast.ai cloud"):
            wipe(files)
            cloud = cloud_process.start(files, port=vast_port)
    assert cloud is not None  # noqa: S101 - started above
    profile = Profile(kind="local", target=local_target(files, cloud, env))
    fleet = profile.fleet(progress.on_event)
    if not fresh:
        before = fleet.stack.snapshot().state.slots if _exists(files) else None
        undo.append(lambda: _restore(fleet, before))
    with progress.phase("stack", "pulumi up"):
        _deploy(fleet, profile.target.settings, progress)
    return fleet


def _deploy(fleet: Fleet, settings: Mapping[str, Any], progress: Progress) -> None:
    try:
        fleet.stack.deploy(settings)
    except (Busy, Failed) as error:
        # Only what a killed update left behind is mended here; all else is the user's to see.
        if isinstance(error, Failed) and _CUT_OFF not in error.message:
            raise
        progress.say("an earlier update was cut off: recovering", done=True)
        fleet.recover()
        fleet.stack.deploy(settings)


def _wait_healthy(fleet: Fleet, progress: Progress) -> FleetView:
    state = fleet.stack.snapshot().state
    path = str(state.outputs.get("healthPath", ""))
    urls = {record.slot: record.endpoint + path for record in fleet.instances(state)}
    seen = health.wait(
        urls,
        deadline=_BOOT_SECONDS,
        on_progress=lambda n: progress.say(f"machines boot: {n} of {len(urls)} answer"),
    )
    silent = sorted(slot for slot, answered in seen.items() if not answered)
    if silent:
        raise NotHealthy(
            f"{', '.join(silent)} did not answer within {_BOOT_SECONDS:.0f} s",
            hint="see `agent-docker status` and `agent-docker gpu logs SLOT`",
        )
    return observe(fleet, "local", healthy=seen)


def down(files: LocalFiles, env: Mapping[str, str], progress: Progress) -> bool:
    """End every machine, stop the local cloud, forget the stack; whether anything ran."""
    cloud = cloud_process.running(files)
    if cloud is not None and _exists(files):
        fleet = Profile(kind="local", target=local_target(files, cloud, env)).fleet(
            progress.on_event
        )
        with progress.phase("destroy", "ending the machines"):
            fleet.stack.destroy()
    with progress.phase("cloud", "stopping the local cloud"):
        return wipe(files) or cloud is not None


def wipe(files: LocalFiles) -> bool:
    """Stop the cloud and forget its stack; keys, passphrase and owner stay."""
    stopped = cloud_process.stop(files)
    for name in ("backend", "operations", "run", "tmp"):
        shutil.rmtree(files.folder / name, ignore_errors=True)
    files.prepare()
    return stopped


def _exists(files: LocalFiles) -> bool:
    return any((files.folder / "backend" / ".pulumi" / "stacks").rglob("gpu.json"))


def _restore(fleet: Fleet, before: SlotSet | None) -> None:
    fleet.recover()
    if before is None:
        fleet.stack.destroy()
    else:
        fleet.apply(before)


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Putting things back is not itself interrupted: an impatient second Ctrl-C would leak."""
    earlier = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, earlier)
