"""Who is compared: fleets of a fixed size, `threshold` with settings, and the plan's algorithm."""

import re
from dataclasses import dataclass, replace

from autoscaler.model import Decision, Limits, Memory, Observed, Phase, Step
from autoscaler.policies import POLICIES, Policy
from bench.fleet.world import World

MINIMUM, MAXIMUM = 1, 5
_THRESHOLD = POLICIES["threshold"]


@dataclass(frozen=True, kw_only=True)
class Contender:
    """A policy with its settings.

    `kills`: it ends machines without draining them. `blind`: nobody tells it utilizations.
    """

    name: str
    policy: Policy
    limits: Limits
    kills: bool = False
    blind: bool = False

    @property
    def key(self) -> str:
        """The name as part of a figure's."""
        return re.sub(r"[^a-z0-9]+", "_", self.name.lower()).strip("_")

    @property
    def fixed(self) -> bool:
        """Whether it rents nothing, so that the seed makes no difference."""
        return self.limits.minimum == self.limits.maximum

    def world(self, world: World) -> World:
        """`world` as this one acts in it."""
        drain = 0.0 if self.kills else world.drain_deadline
        return replace(world, drain_deadline=drain, reports=world.reports and not self.blind)


def plan(observed: Observed, memory: Memory, limits: Limits) -> Decision:
    """The algorithm of the platform's plan: one step a tick, none while a machine boots.

    It scales a count, so the newest machine goes first.
    """
    members, queue = observed.members, observed.queue
    now = wanted = len(members)
    if queue is not None and not any(member.phase is Phase.STARTING for member in members):
        wanted += (queue.depth > limits.scale_up) - (queue.depth < limits.scale_down)
    wanted = max(min(wanted, limits.maximum), limits.minimum)
    newest = [member.slot for member in sorted(members, key=lambda member: member.age)]
    return Decision(
        slots=wanted,
        victims=tuple(newest[: max(now - wanted, 0)]),
        rule="plan",
        reason="",
        memory=memory,
    )


def static(count: int) -> Contender:
    """A fleet of `count`, always on."""
    return Contender(
        name=f"static {count}",
        policy=_THRESHOLD,
        limits=Limits(minimum=count, maximum=count),
    )


def threshold(
    step: Step, scale_up: int = 100, scale_down: int = 10, stabilization: float = 300.0
) -> Contender:
    """`threshold` with settings, named after them."""
    return Contender(
        name=f"{step} {scale_up}/{scale_down}, {stabilization:.0f} s",
        policy=_THRESHOLD,
        limits=Limits(
            minimum=MINIMUM,
            maximum=MAXIMUM,
            step=step,
            scale_up=scale_up,
            scale_down=scale_down,
            stabilization=stabilization,
        ),
    )


def blind(contender: Contender) -> Contender:
    """`contender` behind a router that does not report utilizations."""
    return replace(contender, name=f"{contender.name}, blind", blind=True)


def original() -> Contender:
    """The plan's algorithm."""
    return Contender(
        name="the plan's algorithm",
        policy=plan,
        limits=Limits(minimum=MINIMUM, maximum=MAXIMUM),
        kills=True,
    )


def headline() -> tuple[Contender, ...]:
    """What the documentation shows."""
    return (
        *(static(count) for count in range(1, MAXIMUM + 1)),
        original(),
        threshold("one"),
        threshold("auto"),
        threshold("one", 100, 1, 1800.0),
        threshold("auto", 100, 1, 1800.0),
        threshold("one", 50, 1, 1800.0),
        threshold("auto", 50, 1, 1800.0),
        threshold("auto", 20, 1, 3600.0),
        blind(threshold("one", 50, 1, 1800.0)),
        blind(threshold("auto", 50, 1, 1800.0)),
    )


def grid() -> tuple[Contender, ...]:
    """Settings to choose from, on the days that are for tuning."""
    steps: tuple[Step, ...] = ("one", "auto")
    return (
        *(static(count) for count in range(1, MAXIMUM + 1)),
        *(
            threshold(step, scale_up, scale_down, stabilization)
            for step in steps
            for scale_up in (10, 20, 50, 100)
            for scale_down in (1, 5, 10)
            for stabilization in (300.0, 900.0, 1800.0, 3600.0)
        ),
    )
