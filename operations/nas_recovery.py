"""The nas stack after an update that was cut off: no dead lock, no container without a record."""

from collections.abc import Mapping
from typing import Any

from operations.daemon import Daemon
from operations.settling import Settling
from operations.stack import Stack


class _Exported(Stack):
    """A stack with all that it records, not only what a fleet needs."""

    def ids(self) -> frozenset[str]:
        """Ids of what is recorded and there; of a half-done replacement the old one is gone."""
        rows: list[Mapping[str, Any]] = self._run("snapshot")["deployment"].get("resources") or []
        whole = (row for row in rows if not row.get("pendingReplacement"))
        return frozenset(str(row["id"]) for row in whole if row.get("id"))


def recover(stack: Stack, daemon: Daemon, *, prefix: str, host: str) -> None:
    """Make the next update of `stack` possible. Busy when a lock's owner is not proved dead.

    A container whose create was cut off runs under the name that the next one needs. Its data is
    in volumes, so it goes; what is recorded stays.
    """
    Settling(stack=stack, host=host).settle()
    stack.refresh(clear_pending=True)
    recorded = _Exported(target=stack.target, limits=stack.limits, switch=stack.switch).ids()
    daemon.remove_others(stack.target.stack, prefix, recorded)
