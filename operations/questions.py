"""The Automation API without the questions whose answers nobody here reads.

Each is a start of the engine: 0.2 s of CPU, and the machines of a burst wait for it. An update
asks eleven times; six answers are known before, or are thrown away.
"""

from datetime import UTC, datetime

from pulumi import automation as auto
from pulumi._version import version
from pulumi.automation._stack import StackInitMode


class _Command(auto.PulumiCommand):
    """The `pulumi` on PATH, taken for what it is pinned to be: the SDK's own version."""

    def __init__(self) -> None:
        # Not the base's, which asks the engine for its version.
        self.command = "pulumi"
        self.version = version


class _Workspace(auto.LocalWorkspace):
    def select_stack(self, stack_name: str) -> None:
        """Nothing: each command names its stack, and fails when there is none."""

    def get_all_config(self, stack_name: str) -> auto.ConfigMap:  # noqa: ARG002 - the base's
        """Nothing: `refresh_config` asks and drops the answer."""
        return {}


class QuietStack(auto.Stack):
    """A stack of which is asked only what is read."""

    def outputs(self) -> auto.OutputMap:
        """Nothing: the state holds them."""
        return {}

    def info(
        self,
        show_secrets: bool = True,  # noqa: ARG002, FBT001, FBT002 - the base's
    ) -> auto.UpdateSummary:
        """Nothing: the events have told how it went."""
        now = datetime.now(UTC)
        return auto.UpdateSummary("update", now, "", {}, {}, "succeeded", now)


def quiet_stack(name: str, work_dir: str) -> QuietStack:
    """The stack of that name, which need not exist; CommandError when there is no engine."""
    workspace = _Workspace(work_dir=work_dir, pulumi_command=_Command())
    return QuietStack(name, workspace, StackInitMode.SELECT)
