"""What every policy keeps: limits, budgets, who goes first. Pure and total."""

from dataclasses import replace
from math import floor

from autoscaler.model import Decision, Limits, Member, Memory, Observed, Phase, Reading

_ORDER = {phase: rank for rank, phase in enumerate(Phase)}
# A float that should be 3.0 may be 2.9999999.
_EPSILON = 1e-9


def unreadable(queue: Reading, at: float, limits: Limits) -> bool:
    """Whether a reading is no ground for a decision: too old, from the future, or absurd."""
    age = at - queue.at
    sane = queue.depth >= 0 and (queue.in_flight or 0) >= 0
    return not sane or not -limits.stale <= age <= limits.stale


def hold(observed: Observed, memory: Memory, reason: str) -> Decision:
    """As many slots as there are."""
    return Decision(slots=len(observed.members), rule="hold", reason=reason, memory=memory)


def moved(memory: Memory, *, quiet: bool, at: float) -> Memory:
    """`memory` after a reading at `at`; a time that lies ahead was written by a wrong clock."""
    since = memory.quiet_since
    grown = memory.grown_at
    return Memory(
        quiet_since=(since if since is not None and since <= at else at) if quiet else None,
        grown_at=at if grown is not None and grown > at else grown,
    )


def finish(decision: Decision, observed: Observed, limits: Limits) -> Decision:
    """`decision` held within limits and budgets, with its victims named.

    An unreadable queue alone never shrinks the fleet; a budget does, but never below the minimum.
    What is below the minimum is filled whatever the queue says.
    """
    now = len(observed.members)
    ceiling = limits.maximum if observed.queue is not None else max(limits.maximum, now)
    wanted = max(min(decision.slots, ceiling), limits.minimum, 0)
    rule, reason = decision.rule, decision.reason
    if now < limits.minimum:
        rule, reason = "minimum", f"{now} slots are below the minimum of {limits.minimum}"
    elif now > ceiling:
        rule, reason = "maximum", f"{now} slots are above the maximum of {limits.maximum}"
    elif wanted == now != decision.slots:
        rule, reason = "hold", f"{reason}, held at {now}"
    allowed, why = _affordable(observed, limits)
    if wanted > allowed:
        wanted, rule, reason = allowed, "budget", why
    memory = decision.memory if wanted <= now else replace(decision.memory, grown_at=observed.at)
    return Decision(
        slots=wanted,
        victims=victims(observed.members, now - wanted),
        rule=rule,
        reason=reason,
        memory=memory,
    )


def _affordable(observed: Observed, limits: Limits) -> tuple[int, str]:
    """The most slots that the budgets allow, never below the minimum, and why."""
    now = len(observed.members)
    allowed, why = max(now, limits.maximum), ""
    if limits.hourly_budget is not None:
        most, reason = _within_rate(observed, limits.hourly_budget, limits)
        if most < allowed:
            allowed, why = most, reason
    if limits.daily_budget is not None:
        spent = observed.spent_today
        if spent is None and now < allowed:
            allowed, why = now, "what was spent today is not known"
        elif spent is not None and spent >= limits.daily_budget:
            allowed = min(allowed, limits.minimum)
            why = f"${spent:.2f} spent today of ${limits.daily_budget:.2f}"
    return max(allowed, limits.minimum, 0), why


def _within_rate(observed: Observed, budget: float, limits: Limits) -> tuple[int, str]:
    """How many slots fit into `budget` $/h when the next victims go, or dearest rentals come."""
    members = observed.members
    costs = {member.slot: _cost(member, limits) for member in members}
    rate, count = sum(costs.values()), len(members)
    text = f"${rate + observed.strays_per_hour:.3f}/h; the hourly budget is ${budget:.3f}"
    if rate <= budget + _EPSILON:
        if limits.price <= 0:
            return max(count, limits.maximum), text
        # Machines in no slot go soon, so nobody who works goes for them; but they cost until then.
        room = (budget - rate - observed.strays_per_hour) / limits.price + _EPSILON
        return count + floor(min(max(0.0, room), max(limits.maximum, 0))), text
    for member in sorted(members, key=_rank):
        rate, count = rate - costs[member.slot], count - 1
        if rate <= budget + _EPSILON:
            break
    return count, text


def _cost(member: Member, limits: Limits) -> float:
    """What it costs, $/h; of an empty one what it may come to cost: the next update fills it."""
    return max(member.cost_per_hour, limits.price) if member.empty else member.cost_per_hour


def victims(members: tuple[Member, ...], count: int) -> tuple[str, ...]:
    """The `count` slots that go first.

    What drains already, then what has no machine, then what does not answer, then what has not
    begun, then the least utilized; among equals the dearest, then the youngest.
    """
    return tuple(member.slot for member in sorted(members, key=_rank)[: max(count, 0)])


def _rank(member: Member) -> tuple[bool, bool, int, float, float, float, str]:
    return (
        member.phase is not Phase.DRAINING,
        not member.empty,
        _ORDER[member.phase],
        member.utilization,
        -member.cost_per_hour,
        member.age,
        member.slot,
    )
