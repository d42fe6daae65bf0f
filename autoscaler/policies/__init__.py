"""Scaling policies: pure functions from what is seen to how many slots there shall be.

A policy is total: whatever it is shown, it answers with a decision within the limits and never
raises. The simulator (bench/fleet) runs the same functions.
"""

from collections.abc import Callable, Mapping

from autoscaler.model import Decision, Limits, Memory, Observed
from autoscaler.policies.threshold import threshold

Policy = Callable[[Observed, Memory, Limits], Decision]

POLICIES: Mapping[str, Policy] = {"threshold": threshold}
