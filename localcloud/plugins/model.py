"""What a plugin is made of: resource types and functions as plain data with plain functions."""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Generic, Literal, TypeAlias, TypeVar

from localcloud.plugins.shapes import Fields, Refusal
from localcloud.plugins.values import Properties, Value, Values

T = TypeVar("T")
# `replace` replaces whatever the type's own `replaces` are.
Change = Literal["add", "delete", "replace", "update"]
# In the state of what failed after its creation; a refresh takes it away.
FAILED = "__failed"


class PluginError(Exception):
    """The work cannot be done; the text goes to the user, its secrets hidden."""


class InitFailedError(Exception):
    """The thing exists but does not do what was asked; its id is kept in the state."""

    def __init__(self, made: "Made", reason: str) -> None:
        super().__init__(reason)
        self.made = made
        self.reason = reason


@dataclass(frozen=True)
class Made:
    """A resource that exists."""

    id: str
    outputs: Values
    """What the back end says; laid over the inputs, the two are the state."""


@dataclass(frozen=True)
class Found:
    """What a read found; what it does not name stays in the state as it was, None is dropped."""

    id: str
    outputs: Values
    inputs: Values
    """All that a program would write; a refresh takes of them what the program did write."""


@dataclass(frozen=True)
class Call(Generic[T]):
    """What every function gets: the configured client, and whom and how long it serves."""

    client: T
    urn: str
    name: str
    """The resource's name in the program."""
    timeout: float
    """Seconds that the user's `custom_timeouts` allow; 0 when they say nothing."""
    cancelled: threading.Event
    """Set when the user cancels the update: long waits end then."""
    log: Callable[[str], None]
    """Shows a line beside the resource; never a secret."""


@dataclass(frozen=True)
class Old:
    """A resource as the state has it."""

    id: str
    outputs: Properties
    inputs: Properties


Same: TypeAlias = Callable[[str, Value, Value], bool]


def equal(name: str, old: Value, new: Value) -> bool:
    """Compare one property literally."""
    del name
    return old == new


@dataclass(frozen=True)
class ResourceType(Generic[T]):
    """One resource type. Functions raise PluginError, create and update InitFailedError too."""

    token: str
    inputs: Fields
    """The inputs of the official SDK; any other is refused."""
    create: Callable[[Call[T], Properties], Made]
    read: Callable[[Call[T], Old], Found | None]
    """None when it is gone. For an import the old inputs and outputs are empty."""
    delete: Callable[[Call[T], Old], None]
    """Does nothing for what is gone already."""
    update: Callable[[Call[T], Old, Properties], Values] | None = None
    """Returns what the back end says, laid over the inputs. Without it every change replaces."""
    replaces: frozenset[str] = frozenset()
    """The inputs whose change replaces the resource."""
    delete_before_replace: bool = False
    taints: bool = False
    """What failed after its creation is replaced by the next update, as the bridged plugins do."""
    computed: frozenset[str] = frozenset()
    """Outputs that are not inputs: unknown in a preview."""
    secret: frozenset[str] = frozenset()
    """Outputs that are secret whatever the inputs say."""
    secret_with_inputs: frozenset[str] = frozenset()
    """Outputs that may hold what an input holds: secret as soon as one input is."""
    defaults: Mapping[str, Value] = field(default_factory=dict[str, Value])
    """Values of inputs that the program leaves out."""
    autoname: str | None = None
    """The input that gets the resource's name and seven random digits when it is left out."""
    check: Callable[[Properties], list[Refusal]] | None = None
    """What is wrong with the inputs beyond their shapes; values may be UNKNOWN."""
    same: Same = equal
    """Whether a property's old state and its new input (both known) are the same."""
    diff: Callable[[Old, Properties], Mapping[str, Change]] | None = None
    """Replaces the comparison as a whole."""
    preview: Callable[[Values, Old | None], Values] | None = None
    """Marks what is unknown within the state that a preview shows of a new or an old resource."""

    def hidden(self, *sources: Properties) -> frozenset[str]:
        """The names of the outputs that go out as secrets, given inputs or older states."""
        given = frozenset[str]().union(*(source.secret for source in sources))
        return given | self.secret | (self.secret_with_inputs if given else frozenset[str]())


@dataclass(frozen=True)
class Function(Generic[T]):
    """A function that programs invoke, as `get_network`."""

    token: str
    inputs: Fields
    run: Callable[[Call[T], Properties], Values]
    secret: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Plugin(Generic[T]):
    """Everything that one plugin process serves."""

    name: str
    version: str
    config: Fields
    configure: Callable[[Properties], T]
    """Makes the client. Runs once, before anything else; it may refuse with PluginError."""
    types: tuple[ResourceType[T], ...]
    functions: tuple[Function[T], ...] = ()
    config_replaces: frozenset[str] = frozenset()
    """Settings of the provider whose change replaces everything made with it."""
