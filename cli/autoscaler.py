"""`agent-docker autoscaler …`: run it, look at it, and tell it how to act."""

import os
from collections.abc import Generator
from contextlib import contextmanager
from typing import Annotated, Any

import typer
from redis.exceptions import RedisError

from autoscaler.settings import REDIS_VARIABLE, redis_url
from autoscaler.store import Mode, Store, connect, key_prefix
from cli import services
from cli.context import Json, Production, chosen
from cli.profile import Profile
from cli.views import out, show_json, show_rows, talk
from contracts.errors import AgentDockerError, SettingsError

_SHOWN = 20


class NoAutoscaler(AgentDockerError):
    """No autoscaler has reported lately."""


class NoRedis(AgentDockerError):
    """Redis, where the autoscaler's mode and records are, does not answer."""


def run(*, production: Production = False) -> None:
    """Run an autoscaler here until Ctrl-C; on the local profile beside the one of `up`.

    Only the holder of the lease acts, so a second one waits for its turn.
    """
    from autoscaler.__main__ import run as serve  # noqa: PLC0415 - the service side is heavy

    profile = chosen(production=production)
    env = dict(os.environ)
    if profile.files is not None:
        env = services.autoscaler_env(profile.files, profile)
    if code := serve(env):
        raise typer.Exit(code)


def status(*, production: Production = False, as_json: Json = False) -> None:
    """Show queue, mode, last decision, slots and cost; 1 when it is silent or has a problem."""
    with _store(chosen(production=production)) as store:
        found = store.status()
    if found is None:
        raise NoAutoscaler(
            "no autoscaler has reported for a minute",
            hint="locally `agent-docker up` starts it; in production see its container's log",
        )
    if as_json:
        show_json(found)
    else:
        _show(found)
    if found.get("problems"):
        raise typer.Exit(1)


def pause(*, production: Production = False) -> None:
    """Change nothing on the stack until `resume`; healthy machines stay registered."""
    _set(Mode(kind="paused"), production=production)


def resume(*, production: Production = False) -> None:
    """Follow the queue again."""
    _set(Mode(), production=production)


def fix(
    count: Annotated[int, typer.Argument(min=0, help="Slots, within the settings' min and max.")],
    *,
    production: Production = False,
) -> None:
    """Keep this many slots whatever the queue says, until `resume`; budgets still hold."""
    _set(Mode(kind="fixed", count=count), production=production)


def dry_run(*, production: Production = False) -> None:
    """Decide and record, but change nothing on the stack, until `resume`."""
    _set(Mode(kind="dry-run"), production=production)


def decisions(
    *,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="Rows to show.")] = _SHOWN,
    production: Production = False,
    as_json: Json = False,
) -> None:
    """Show the last decisions, the newest first: what was seen, wanted, and why."""
    with _store(chosen(production=production)) as store:
        rows = store.decisions(limit)
    if as_json:
        show_json(rows)
        return
    show_rows("decisions", [_row(row) for row in rows])


def _set(mode: Mode, *, production: bool) -> None:
    with _store(chosen(production=production)) as store:
        store.set_mode(mode)
    talk.print(f"the autoscaler is {mode} from its next look on")


def glance(profile: Profile) -> dict[str, Any] | None:
    """What the autoscaler of the local profile reported last; None where there is none."""
    if profile.files is None or services.running(profile.files, services.AUTOSCALER) is None:
        return None
    with _store(profile) as store:
        return store.status()


def show_glance(found: dict[str, Any]) -> None:
    """One line of it."""
    queue: dict[str, Any] = found.get("queue") or {}
    decision: dict[str, Any] = found.get("decision") or {}
    told: dict[str, str] = found.get("problems") or {}
    problems = "; ".join(told.values())
    text = problems or decision.get("reason") or "it has just begun"
    out.print(
        f"autoscaler {found.get('mode')}: {queue.get('depth', '?')} waiting, "
        f"{found.get('operation') or 'no update runs'}; {text}",
        markup=False,
    )


@contextmanager
def _store(profile: Profile) -> Generator[Store]:
    """The records of this profile's fleet; NoRedis when they cannot be reached."""
    if profile.files is not None:
        said = services.running(profile.files, services.REDIS)
        if said is None:
            raise NoAutoscaler(
                "the local profile runs without an autoscaler", hint="run `agent-docker up`"
            )
        url = str(said["url"])
    else:
        url = redis_url(os.environ)
    stack, owner = profile.target.stack, profile.target.settings.get("owner")
    if not owner:
        raise SettingsError(
            f"Pulumi.{stack}.yaml has no agent-docker:owner, so its autoscaler cannot be found",
            hint=f"run `agent-docker init {stack}`",
        )
    with connect(url) as redis:
        try:
            yield Store(redis=redis, prefix=key_prefix(str(owner), stack))
        except RedisError as error:
            raise NoRedis(
                f"Redis does not answer ({type(error).__name__})",
                hint=f"in production {REDIS_VARIABLE} names it; locally `agent-docker up`",
            ) from None


def _show(found: dict[str, Any]) -> None:
    decision: dict[str, Any] = found.get("decision") or {}
    queue: dict[str, Any] | None = found.get("queue")
    spent = found.get("spentToday")
    slots: list[dict[str, Any]] = found.get("slots") or []
    show_rows(
        f"stack {found.get('stack')}",
        [
            {
                "slot": slot["slot"],
                "phase": slot["phase"],
                "utilization": f"{slot['utilization']:.0%}",
                "age": f"{slot['age']:.0f} s",
                "$/h": f"{slot['costPerHour']:.3f}",
            }
            for slot in slots
        ],
    )
    depth = "unreadable" if queue is None else f"{queue['depth']} waiting"
    flying = "" if queue is None or queue["inFlight"] is None else f", {queue['inFlight']} served"
    out.print(f"mode {found.get('mode')}; queue {depth}{flying}", markup=False)
    out.print(f"last decision: {decision.get('wanted')} slots, {decision.get('reason')}")
    day = "not known" if spent is None else f"${spent:.2f}"
    out.print(f"${found.get('costPerHour', 0):.3f}/h, spent today: {day}")
    if found.get("operation"):
        out.print(f"at work: {found['operation']}")
    problems: dict[str, str] = found.get("problems") or {}
    for topic, text in problems.items():
        out.print(f"[red]{topic}[/red]: ", end="")
        out.print(text, markup=False)


def _row(record: dict[str, Any]) -> dict[str, Any]:
    return {
        "at": str(record["at"])[11:19],
        "depth": record["depth"],
        "served": record["inFlight"],
        "slots": f"{record['slots']} → {record['wanted']}",
        "rule": record["rule"],
        "reason": record["reason"],
        "victims": ", ".join(record["victims"]),
    }
