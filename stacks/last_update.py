"""What the stack's own last update left behind, as plain data."""

from typing import Any

import pulumi
from pulumi.runtime.sync_await import _sync_await  # pyright: ignore[reportPrivateUsage]


class LastUpdate:
    """The outputs of this stack's last update, also in a preview.

    A StackReference to the stack itself. Values shape the graph, so they are needed as plain
    data: `_sync_await` is private and pinned by a contract test.
    """

    def __init__(self) -> None:
        stack = f"{pulumi.get_organization()}/{pulumi.get_project()}/{pulumi.get_stack()}"
        self._reference = pulumi.StackReference("last-update", stack_name=stack)

    def output(self, name: str) -> Any:  # noqa: ANN401 - whatever the program exported
        """The value of one output; None before the first update."""
        return _sync_await(self._reference.get_output_details(name)).value
