"""What the stack's own last update left behind, as plain data."""

from typing import Any

import pulumi
from pulumi.runtime.sync_await import _sync_await  # pyright: ignore[reportPrivateUsage]


def last_output(name: str) -> Any:  # noqa: ANN401 - whatever the program exported
    """The value of an output of this stack's last update; None before the first.

    A StackReference to the stack itself, also in a preview. The value shapes the graph, so it is
    needed as plain data: `_sync_await` is private and pinned by a contract test.
    """
    stack = f"{pulumi.get_organization()}/{pulumi.get_project()}/{pulumi.get_stack()}"
    reference = pulumi.StackReference("last-update", stack_name=stack)
    return _sync_await(reference.get_output_details(name)).value
