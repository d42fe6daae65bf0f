"""How a mode bends a policy: paused, a fixed count, or the policy's own word. Pure."""

from dataclasses import replace

from autoscaler.model import Decision, Limits, Memory, Observed, Reading
from autoscaler.policies import Policy
from autoscaler.policies.bounds import finish, hold
from autoscaler.store import Mode
from contracts.fleet import AUTO, FleetSettings


def effective(mode: Mode, fleet: FleetSettings) -> Mode:
    """The mode under the stack's settings: a number as `fleet.desired` means manual."""
    if mode.kind == "auto" and fleet.desired != AUTO:
        return Mode(kind="fixed", count=int(fleet.desired))
    return mode


def decide(
    mode: Mode, policy: Policy, observed: Observed, memory: Memory, limits: Limits
) -> Decision:
    """What `policy` decides, or what a person has; limits and budgets hold for both."""
    if mode.kind == "paused":
        return hold(observed, memory, "paused")
    if mode.kind != "fixed" or mode.count is None:
        return policy(observed, memory, limits)
    wanted = Decision(slots=mode.count, rule="fixed", reason=str(mode), memory=memory)
    # A person's number needs no queue.
    return finish(wanted, replace(observed, queue=Reading(depth=0, at=observed.at)), limits)
