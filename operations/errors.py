"""What can go wrong with an operation on a stack, as types, because callers branch on them."""

from contracts.errors import AgentDockerError


class OperationError(AgentDockerError):
    """An operation on a stack did not do what was asked."""


class Failed(OperationError):
    """The engine or the program failed; what had been done is recorded in the stack."""


class Busy(OperationError):
    """Another update holds the stack's lock; nothing was done."""

    exit_code = 3


class Conflict(OperationError):
    """The stack is not as its caller had read it; nothing was done. Read it again."""

    exit_code = 3


class LeaseLost(OperationError):
    """Another service holds the lease on the stack by now; nothing was done."""

    exit_code = 3


class StackNotFound(OperationError):
    """The backend has no such stack."""


class Refused(OperationError):
    """The preview would delete or replace more than was named; nothing was done."""

    exit_code = 4


class NoSuchSlot(OperationError):
    """The fleet has no slot of that name."""

    exit_code = 2


class NoSuchService(OperationError):
    """The NAS has no service of that name."""

    exit_code = 2


class NoSuchAgent(OperationError):
    """No agent of that name is deployed there."""

    exit_code = 2


class NamespaceTaken(OperationError):
    """The namespace is there, and we did not make it; nothing was changed."""

    exit_code = 4


class WrongPassphrase(OperationError):
    """The stack's secrets cannot be read with this passphrase; nothing was done."""

    exit_code = 2


class CutOff(Failed):
    """An update of this stack was cut off half-way; it must be recovered before the next."""

    exit_code = 4


class Unclear(Failed):
    """Machines live that the stack does not account for; it must be recovered first."""

    exit_code = 4


class Interrupted(OperationError):
    """The operation was stopped from outside; what had been done is recorded in the stack."""

    exit_code = 130


KINDS: dict[str, type[OperationError]] = {
    kind.__name__: kind
    for kind in (
        Failed,
        Busy,
        Conflict,
        CutOff,
        Interrupted,
        LeaseLost,
        Refused,
        StackNotFound,
        Unclear,
        WrongPassphrase,
    )
}
