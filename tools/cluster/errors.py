"""What can go wrong with a cluster; callers branch on the type, users read message and hint.

ClusterError
├── GoMissing     there is no `go`, and nothing built before
├── BuildFailed   the Go build failed; ends with the compiler's last lines
├── NotStarted    a component ended or did not get ready; ends with its last log lines
└── NotOurs       the data folder holds something else than a cluster
"""


class ClusterError(Exception):
    """Base of all; `hint` is one thing the user can do."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(f"{message}\nhint: {hint}")
        self.hint = hint


class GoMissing(ClusterError):
    """Nothing can be built here, and the cache has nothing."""


class BuildFailed(ClusterError):
    """`go build` failed."""


class NotStarted(ClusterError):
    """A component ended, or something was not ready in time."""


class NotOurs(ClusterError):
    """A folder is neither empty nor one that a cluster was started in."""
