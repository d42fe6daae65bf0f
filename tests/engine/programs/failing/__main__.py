"""Raises two frames deep."""

print("before the failure")  # noqa: T201 - what the test looks for


def inner() -> None:
    """Fail as user code does."""
    raise ValueError("the reason")


inner()
