"""What the program checks while the engine holds the stack's lock: nobody writes from old sight.

Fence: a lease cannot stop a process that was paused after it had looked. So each update of a
service carries the number of its lease, and one that is older than the last update's is refused.

Base: between reading a stack and updating it somebody else may have updated it. So each update of
a service carries how many updates there had been, and is refused when there are more by now; else
it would put the settings back that a person has just replaced.
"""

from contracts.errors import AgentDockerError

# By this text a service knows the refusal from any other failure of the program.
SUPERSEDED = "this update's lease was taken over"
OVERTAKEN = "the stack was updated by somebody else since it was read"


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


class Overtaken(AgentDockerError):
    """The stack is not what the update was planned from."""

    exit_code = 3


def next_update(base: int | None, last: float | None) -> int:
    """The number of this update; `base` None is a person's, planned from the settings file.

    `last` is the number of the last one, None before the first. Raises Overtaken when that is not
    the one the update was planned from.
    """
    before = int(last or 0)
    if base is not None and base != before:
        raise Overtaken(
            f"{OVERTAKEN}: it has had {before} updates, {base} when this one was planned",
            hint="run it again; nothing was changed",
        )
    return before + 1
