"""How the slow steps tell what they do."""

from collections.abc import Callable

Progress = Callable[[str], None]
"""Takes one line for a person, without a line end; called from the caller's own thread."""


def silent(line: str) -> None:
    """Take a line and drop it."""
    del line
