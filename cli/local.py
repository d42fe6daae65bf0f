"""Bringing the local profile up and down.

`up` either succeeds or leaves what ran before it, whether it fails, is stopped, or is killed and
run again: a cloud that it started goes with everything in it; in a cloud that ran before, the
stack's files are put back and the machines rented since are ended.
"""

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Any

from cli import cloud_process, health, leftovers, restore, services
from cli.cloud_process import CloudFailed
from cli.ending import complain
from cli.files import LocalFiles
from cli.lock import exclusive
from cli.observe import health_urls, observe
from cli.profile import GPU, Profile, profile_on
from cli.progress import Progress
from cli.restore import Before, wipe
from cli.settings import fleet_settings, stack_settings
from cli.signals import stop
from cli.views import FleetView
from contracts.errors import AgentDockerError, SettingsError
from contracts.slots import Namer
from operations.errors import Busy, CutOff, Interrupted
from operations.fleet import Fleet, Known
from operations.stack import Applied

_BOOT_SECONDS = 60.0
_FRESH = "nothing is left running"
_KEPT = "what ran before runs again"


class NotHealthy(AgentDockerError):
    """The fleet is up but does not answer."""


def up(
    files: LocalFiles,
    env: Mapping[str, str],
    progress: Progress,
    *,
    vast_port: int,
    autoscaler: bool,
) -> FleetView:
    """Engine, local cloud, `pulumi up`, wait until every machine answers, then the `autoscaler`.

    One that runs is stopped meanwhile: the stack is ours to change and to put back.
    """
    from tools import engine  # noqa: PLC0415 - only the local profile needs it

    settings = stack_settings(GPU, env)
    fleet_settings({**settings, **_local(settings)}, f"Pulumi.{GPU}.yaml")
    with exclusive(files, "up"), _stopped_is_undone(files):
        stop.obey_once()
        with progress.phase("engine", "the Pulumi engine"):
            engine.ensure(env, on_progress=progress.say)
        leftovers.end_operations(files)
        with _autoscaler_aside(files, env, progress):
            restore.finish(files)
            files.prepare()
            progress.say("looking for a local cloud that runs")
            cloud = cloud_process.running(files)
            if cloud is None:
                view = _up_from_nothing(files, env, progress, vast_port, autoscaler=autoscaler)
            else:
                _same_port(cloud, vast_port)
                view = _up_again(files, cloud, env, progress, autoscaler=autoscaler)
            stop.commit()
    return view


@contextmanager
def _autoscaler_aside(
    files: LocalFiles, env: Mapping[str, str], progress: Progress
) -> Generator[None]:
    """An autoscaler that ran runs again when this fails; it keeps its hands off meanwhile."""
    ran = services.stop_autoscaler(files)
    try:
        yield
    except BaseException:
        cloud = cloud_process.running(files) if ran else None
        if cloud is not None and services.running(files, services.AUTOSCALER) is None:
            with stop.deaf():
                services.start_autoscaler(files, profile_on(files, cloud, env), progress)
        raise


def _up_from_nothing(
    files: LocalFiles,
    env: Mapping[str, str],
    progress: Progress,
    vast_port: int,
    *,
    autoscaler: bool,
) -> FleetView:
    try:
        with progress.phase("cloud", "the local Vast.ai cloud"):
            # Whatever an earlier cloud's stack recorded died with that cloud.
            wipe(files)
            files.prepare()
            cloud = cloud_process.start(files, port=vast_port)
        if autoscaler:
            services.ensure_passive(files, progress)
        return _bring_up(files, profile_on(files, cloud, env), progress, autoscaler=autoscaler)
    except NotHealthy:
        raise
    except BaseException as error:  # noqa: BLE001 - told with what is left
        with stop.deaf():
            _say_why(error, progress)
            wipe(files)
        raise _ended(error, _FRESH) from None


def _up_again(
    files: LocalFiles,
    cloud: Mapping[str, Any],
    env: Mapping[str, str],
    progress: Progress,
    *,
    autoscaler: bool,
) -> FleetView:
    if autoscaler:
        services.ensure_passive(files, progress)
    before = Before.of(files, cloud, env)
    try:
        if before.cut_off:
            progress.say("an earlier update was cut off: recovering")
            before.profile.fleet(progress.on_event).recover()
        return _bring_up(files, before.profile, progress, autoscaler=autoscaler)
    except (Busy, NotHealthy):
        raise
    except BaseException as error:  # noqa: BLE001 - told with what is left
        with stop.deaf():
            _say_why(error, progress)
            if not cloud_process.running(files):
                wipe(files)
                raise CloudFailed(
                    "the local cloud has ended, and its machines with it; " + _FRESH,
                    hint=f"run it again to start anew; what it said is in {files.folder}/cloud.log",
                ) from None
            whole = before.put_back(progress)
        raise _ended(error, _KEPT if whole else f"{_KEPT}, on other machines") from None


def _say_why(error: BaseException, progress: Progress) -> None:
    stopped = isinstance(error, (KeyboardInterrupt, Interrupted))
    progress.say(f"{'stopped' if stopped else 'failed'}: putting back what ran before")


def _ended(error: BaseException, now: str) -> BaseException:
    """`error` with what runs now: `up` leaves nothing that it does not tell of."""
    if isinstance(error, (KeyboardInterrupt, Interrupted)):
        return Interrupted(f"stopped; {now}")
    if isinstance(error, AgentDockerError):
        error.args = (f"{error.message}\n{now}",)
        error.message = f"{error.message}\n{now}"
    return error


@contextmanager
def _stopped_is_undone(files: LocalFiles) -> Generator[None]:
    """A process that was just being started when the signal came is known by its mark."""
    try:
        yield
    except BaseException:
        with stop.deaf():
            leftovers.end_operations(files)
            if files.cloud() is None:
                cloud_process.stop(files)
        raise


def _same_port(cloud: Mapping[str, Any], wanted: int) -> None:
    runs = cloud_process.port(cloud)
    if wanted not in {0, runs}:
        raise SettingsError(
            f"the local cloud runs on port {runs} already, not on --vast-port {wanted}",
            hint="run `agent-docker down` first; nothing was changed",
        )


def _local(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The fleet's settings with those that the local profile sets by itself."""
    fleet = settings.get("fleet")
    places = {"router": None, "endpoint": "http://{slot}"}
    return {"fleet": {**fleet, **places}} if isinstance(fleet, Mapping) else {}


def _bring_up(
    files: LocalFiles, profile: Profile, progress: Progress, *, autoscaler: bool
) -> FleetView:
    view = _update(profile, progress)
    if autoscaler:
        services.start_autoscaler(files, profile, progress)
    return view


def _update(profile: Profile, progress: Progress) -> FleetView:
    fleet, settings = profile.fleet(progress.on_event), profile.target.settings
    with progress.phase("stack", "pulumi up"):
        applied = _deploy(fleet, settings, progress)
    known = _known(applied, settings)
    urls = health_urls(fleet, applied.state)
    with progress.phase("healthy", "machines boot and answer"):
        seen = health.wait(
            urls,
            deadline=_BOOT_SECONDS,
            on_progress=lambda n: progress.say(f"machines boot: {n} of {len(urls)} answer"),
        )
        silent = sorted(slot for slot, answered in seen.items() if not answered)
        if silent:
            raise NotHealthy(
                f"{', '.join(silent)} did not answer within {_BOOT_SECONDS:.0f} s; all goes on "
                "running",
                hint="see `agent-docker status` and `agent-docker gpu logs SLOT`",
            )
    return observe(fleet, "local", known=known, healthy=seen)


def _deploy(fleet: Fleet, settings: Mapping[str, Any], progress: Progress) -> Applied:
    try:
        return fleet.stack.deploy(settings)
    except (Busy, CutOff):
        # What a killed engine left behind is mended here; all else is the user's to see.
        progress.say("an earlier update was cut off: recovering")
    fleet.recover()
    return fleet.stack.deploy(settings)


def _known(applied: Applied, settings: Mapping[str, Any]) -> Known:
    fleet = fleet_settings(settings, f"Pulumi.{GPU}.yaml")
    namer = Namer(owner=str(settings["owner"]), stack=GPU, shards=fleet.shard_count)
    return Known(state=applied.state, fleet=fleet, namer=namer)


def down(files: LocalFiles, env: Mapping[str, str], progress: Progress) -> bool:
    """End every machine, stop the local cloud, forget the stack; whether anything ran.

    Succeeds whatever state the stack is in: its machines end with their cloud at the latest.
    """
    if not files.folder.is_dir():
        return bool(cloud_process.stop(files))
    with exclusive(files, "down"):
        stop.obey_once()
        leftovers.end_operations(files)
        with progress.phase("autoscaler", "stopping the autoscaler"):
            services.stop_autoscaler(files)
        restore.finish(files)
        cloud = cloud_process.running(files)
        if cloud is not None and files.checkpoint is not None:
            with progress.phase("destroy", "ending the machines"):
                _destroy(files, cloud, env, progress)
        with progress.phase("cloud", "stopping the local cloud"), stop.deaf():
            return wipe(files) or cloud is not None


def _destroy(
    files: LocalFiles, cloud: Mapping[str, Any], env: Mapping[str, str], progress: Progress
) -> None:
    try:
        profile_on(files, cloud, env).fleet(progress.on_event).stack.destroy()
    except Interrupted:
        raise Interrupted("stopped half-way", hint="run `agent-docker down` again") from None
    except AgentDockerError as error:
        complain(f"{error.message}\nthe machines end with their cloud", None, kind="warning")
