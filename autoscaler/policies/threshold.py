"""`threshold`: grow above one queue depth, shrink below another."""

from dataclasses import replace
from math import ceil

from autoscaler.model import Decision, Limits, Memory, Observed, Phase, Reading
from autoscaler.policies.bounds import finish, hold, moved, unreadable

# Of the fleet that is left after a shrink: room for what comes next.
_FULL = 0.8


def threshold(observed: Observed, memory: Memory, limits: Limits) -> Decision:
    """Decide by queue depth: above `scale_up` more slots, below `scale_down` fewer.

    With `step: one`, as in the platform's plan, a tick moves one slot. With `auto` it adds as many
    as the queue asks for: one slot for each `scale_up` requests waiting or in flight; it gives up
    one, unless the rest would be filled beyond 80 %. Slots that start, or that drain and can be
    taken back, count as if they were ready, so a burst is not answered twice. A shrink waits until
    the queue has been below `scale_down`, and nothing was added, for the stabilization time.
    However short the queue, a fleet of none gets its first slot for it, and keeps it.
    """
    queue = observed.queue
    if queue is None or unreadable(queue, observed.at, limits):
        # What happened meanwhile is not known: it may not have been quiet.
        memory = replace(memory, quiet_since=None)
        blind = replace(observed, queue=None)
        return finish(hold(blind, memory, "the queue cannot be read"), blind, limits)
    memory = moved(memory, quiet=queue.depth < limits.scale_down, at=observed.at)
    if queue.depth > limits.scale_up:
        decision = _grow(observed, queue, memory, limits)
    elif queue.depth > 0 and not observed.members:
        reason = f"depth {queue.depth}, and there is no slot"
        decision = Decision(slots=1, rule="grow", reason=reason, memory=memory)
    elif queue.depth < limits.scale_down:
        decision = _shrink(observed, queue, memory, limits)
    else:
        reason = f"depth {queue.depth} is within {limits.scale_down}..{limits.scale_up}"
        decision = hold(observed, memory, reason)
    return finish(decision, observed, limits)


def _asked_for(queue: Reading, limits: Limits) -> int:
    """Slots so that each has at most `scale_up` requests waiting or in flight."""
    backlog = max(queue.depth, 0) + max(queue.in_flight or 0, 0)
    # Whole numbers: a quotient of absurd ones would overflow.
    return -(-backlog // max(limits.scale_up, 1))


def _grow(observed: Observed, queue: Reading, memory: Memory, limits: Limits) -> Decision:
    now, asked = len(observed.members), _asked_for(queue, limits)
    coming = sum(m.phase in {Phase.STARTING, Phase.DRAINING} for m in observed.members)
    depth = f"depth {queue.depth} > {limits.scale_up}"
    if coming and now >= asked:
        return hold(observed, memory, f"{depth}, {coming} starting or draining are enough")
    wanted = now + 1 if limits.step == "one" else max(now + 1, asked)
    reason = f"{depth}, backlog asks for {asked}"
    return Decision(slots=wanted, rule="grow", reason=reason, memory=memory)


def _shrink(observed: Observed, queue: Reading, memory: Memory, limits: Limits) -> Decision:
    now, depth = len(observed.members), f"depth {queue.depth} < {limits.scale_down}"
    waits = [
        limits.stabilization - (observed.at - since)
        for since in (memory.quiet_since, memory.grown_at)
        if since is not None
    ]
    if (left := max(waits, default=0.0)) > 0:
        return hold(observed, memory, f"{depth}, stabilizing for {left:.0f} s more")
    if now == 1 and _asked_for(queue, limits):
        return hold(observed, memory, f"{depth}, but the last slot is needed for it")
    if limits.step == "auto":
        used = sum(min(max(0.0, member.utilization), 1.0) for member in observed.members)
        needed = max(_asked_for(queue, limits), ceil(used / _FULL))
        if needed >= now:
            return hold(observed, memory, f"{depth}, but the work in hand needs {needed}")
    return Decision(slots=now - 1, rule="shrink", reason=depth, memory=memory)
