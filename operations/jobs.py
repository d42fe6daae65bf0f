"""What a service asks of the child process that runs the engine, and what comes back: plain data.

One JSON document goes in on standard input, JSON lines come out on standard output; the last
one is a `result` or an `error`.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

# The engine's own default goes with the cores of the machine it runs on; ours wait for Vast.ai.
OPERATIONS_AT_ONCE = 64

Kind = Literal[
    "deploy", "apply", "destroy", "refresh", "snapshot", "history", "stacks", "cancel", "remove"
]


class Document(BaseModel):
    """A frozen message between the service and its child."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Job(Document):
    """One operation on one stack.

    `deploy` sets the stack's settings to `settings`; `apply` starts from those of the last
    update (from `settings` before the first) and changes only the keys in `changes`.
    """

    kind: Kind
    stack: str
    work_dir: str
    settings: dict[str, Any] = Field(default_factory=dict)
    changes: dict[str, Any] = Field(default_factory=dict)
    # Secret settings below `secrets`, in clear, that the stack gets where it has none of the name.
    secrets: dict[str, str] = Field(default_factory=dict, repr=False)
    # What else the settings file says, e.g. the salt of the secrets in `settings`.
    document: dict[str, Any] = Field(default_factory=dict)
    # Slots whose machines may be deleted or replaced; None lets everything pass.
    expendable: tuple[str, ...] | None = None
    # Containers that must not be replaced or removed now, and why, by the resource's name.
    guarded: dict[str, str] = Field(default_factory=dict)
    # How many updates the stack had had when the caller read it; it must still be so.
    base: int | None = None
    message: str | None = None
    parallel: int = OPERATIONS_AT_ONCE
    # Whether the rest is done after something has failed: things that do not need each other.
    persevere: bool = False
    # Whether an update first reads what is live: what somebody removed would stay so.
    refresh: bool = False
    clear_pending: bool = False
    # Whether the passphrase must prove itself, which reading alone does not ask for.
    verify: bool = False
    remove: bool = False
    # An update that changes nothing is not run; its preview has said so.
    skip_idle: bool = True


class ResourceEvent(Document):
    """A resource begins, or ends, a step. `op` is Pulumi's: create, same, delete-replaced, …."""

    event: Literal["resource"] = "resource"
    phase: Literal["begin", "end", "failed"]
    op: str
    urn: str
    type: str

    @property
    def name(self) -> str:
        """The resource's own name."""
        return self.urn.rsplit("::", 1)[-1]


class MessageEvent(Document):
    """Something the engine, the program or a provider said."""

    event: Literal["message"] = "message"
    severity: str
    text: str
    urn: str = ""

    @property
    def name(self) -> str:
        """The name of the resource it is about; empty for what is about none."""
        return self.urn.rsplit("::", 1)[-1]


class PhaseEvent(Document):
    """The child goes on to the next part of its job."""

    event: Literal["phase"] = "phase"
    name: str


class ResultEvent(Document):
    """The job is done."""

    event: Literal["result"] = "result"
    data: dict[str, Any]


class ErrorEvent(Document):
    """The job failed; `kind` names a class of operations.errors."""

    event: Literal["error"] = "error"
    kind: str
    message: str
    hint: str | None = None


Event = ResourceEvent | MessageEvent | PhaseEvent | ResultEvent | ErrorEvent
EVENTS: TypeAdapter[Event] = TypeAdapter(Annotated[Event, Field(discriminator="event")])
