"""The fence: a service that lost its lease while it was asleep must not update the stack any more.

A lease cannot stop a process that was paused after it had looked. So each update of a service
carries the number of its lease, the program compares it with the last update's while the engine
holds the stack's lock, and an older one is refused.
"""

from contracts.errors import AgentDockerError

# By this text a service knows the refusal from any other failure of the program.
SUPERSEDED = "this update's lease was taken over"


class Superseded(AgentDockerError):
    """The update was asked for under a lease that another service has taken over."""

    exit_code = 3


def next_fence(given: int | None, last: float | None) -> int | None:
    """The number that this update records; `given` None is a person's update, under no lease.

    `last` is what the last update recorded, as Pulumi gives it back: a float. Raises Superseded
    when a lease after `given` has updated the stack already.
    """
    if given is not None and last is not None and given < last:
        raise Superseded(
            f"{SUPERSEDED}: it has number {given}, the last update had {last:.0f}",
            hint="nothing to do: the service that holds the lease now goes on",
        )
    recorded = None if last is None else int(last)
    return recorded if given is None else given
