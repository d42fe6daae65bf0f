"""The engine's failures as ours: one message for a person, and a type that callers branch on."""

import re
from collections.abc import Mapping, Sequence

from pulumi.automation.errors import CommandError, ConcurrentUpdateError, StackNotFoundError

from contracts.fence import OVERTAKEN, SUPERSEDED
from contracts.program import INSTANCE_TYPE
from contracts.slots import UNCLEAR
from operations.errors import (
    Busy,
    Conflict,
    CutOff,
    Failed,
    LeaseLost,
    OperationError,
    StackNotFound,
    Unclear,
    WrongPassphrase,
)
from operations.jobs import MessageEvent
from operations.locks import LOCKED_HINT, describe

# The Automation API's text for a process that a signal ended.
_KILLED = re.compile(r"^ ?code: -\d+", re.MULTILINE)
# How the engine begins what a plugin said of something that exists but does not work.
_COUNTED = re.compile(r"^\d+ errors? occurred:\s*\*\s*")
_LOCKED_SECRETS = re.compile("incorrect passphrase|passphrase must be set|failed to decrypt")
# Refusals of the program that callers branch on.
_REFUSALS: Mapping[str, type[OperationError]] = {
    OVERTAKEN: Conflict,
    SUPERSEDED: LeaseLost,
    UNCLEAR: Unclear,
}
# The engine's own words for "it failed", which say nothing about the reason.
_HOLLOW = (
    "update failed",
    "preview failed",
    "destroy failed",
    "refresh failed",
    "an unhandled error occurred: program exited with",
    # The SDK's own traceback, of whatever needed what has failed.
    "Program failed with an unhandled exception",
)


def failure(error: CommandError, said: Sequence[MessageEvent]) -> OperationError:
    """The engine's failure as ours; `said` is what its events told about the reason."""
    text = str(error)
    if isinstance(error, StackNotFoundError):
        return StackNotFound("the backend has no such stack")
    if isinstance(error, ConcurrentUpdateError):
        return Busy(describe(text), hint=LOCKED_HINT)
    if _KILLED.search(text):
        return CutOff(
            "the engine was killed; its update may be half-way",
            hint="run `agent-docker recover`: it finishes what was asked for",
        )
    if _LOCKED_SECRETS.search(text):
        return WrongPassphrase(
            "the passphrase does not open this stack's secrets",
            hint="check PULUMI_CONFIG_PASSPHRASE_FILE",
        )
    message, hint = why(text, said)
    kind = next((kind for text, kind in _REFUSALS.items() if text in message), Failed)
    return kind(message, hint=hint)


def why(text: str, said: Sequence[MessageEvent]) -> tuple[str, str | None]:
    """Why an operation failed, with the hint if one was given.

    It is what error events `said`, else the error lines of the engine's `text`. The engine's own
    "something failed" is left out while anything else is known.
    """
    hints: dict[str, None] = {}
    reasons: dict[str, None] = {}
    for message in said:
        told, _, hint = _bare(message.text).partition("\nhint: ")
        hints |= {hint: None} if hint else {}
        reasons[f"{message.name}: {told}" if INSTANCE_TYPE in message.urn else told] = None
    lines = [line.strip() for line in text.splitlines()]
    found = [*reasons] or [_bare(line) for line in lines if line.startswith("error:")]
    telling = [line for line in found if not line.startswith(_HOLLOW)] or found
    last = next((line for line in reversed(lines) if line), "no reason was given")
    return "\n".join(dict.fromkeys(telling)) or last, "\n".join(hints) or None


def _bare(text: str) -> str:
    text = text.removeprefix("error: ").removeprefix("Exception calling application: ").strip()
    return _COUNTED.sub("", text)
