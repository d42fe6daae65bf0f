"""Where an object is, and what every function of the plugin works with."""

from dataclasses import dataclass
from urllib.parse import quote

from localcloud.plugins.kubernetes.api import Api
from localcloud.plugins.kubernetes.kinds import Kind
from localcloud.plugins.kubernetes.kubeconfig import access
from localcloud.plugins.kubernetes.watching import Watches
from localcloud.plugins.model import PluginError
from localcloud.plugins.values import Properties, Values, map_of, text_of


@dataclass(frozen=True)
class Cluster:
    """The client of a configured provider."""

    api: Api
    watches: Watches


@dataclass(frozen=True)
class Place:
    """One object's name and path; `namespace` is empty for what has none."""

    kind: Kind
    namespace: str
    name: str

    @property
    def id(self) -> str:
        """The resource's id, as the official plugin forms it."""
        return f"{self.namespace}/{self.name}" if self.namespace else self.name

    @property
    def what(self) -> str:
        """The object in a sentence."""
        return f"{self.kind.name} {self.id}"

    @property
    def collection(self) -> str:
        """The path of its neighbours and itself."""
        return self.kind.collection(self.namespace)

    @property
    def path(self) -> str:
        """The path of the object."""
        return f"{self.collection}/{quote(self.name, safe='')}"


def configured(settings: Properties) -> Cluster:
    """Make the client; nothing is asked of the server yet."""
    api = Api(access(settings))
    return Cluster(api, Watches(api))


def of_inputs(kind: Kind, inputs: Values, default: str) -> Place:
    """Where the inputs put it; `default` is the provider's namespace."""
    metadata = map_of(inputs, "metadata")
    name = text_of(metadata, "name")
    if not kind.namespaced:
        return Place(kind, "", name)
    namespace = text_of(metadata, "namespace") or default
    if not namespace:
        raise PluginError(
            f"{kind.name} {name} has no metadata.namespace\n"
            "hint: set it, or the kubernetes provider's `namespace`"
        )
    return Place(kind, namespace, name)


def of_id(kind: Kind, given: str, default: str) -> Place:
    """Where an id says it is: `namespace/name`, or `name` alone."""
    namespace, _, name = given.rpartition("/")
    if kind.namespaced:
        namespace = namespace or default
        if namespace:
            return Place(kind, namespace, name)
    elif not namespace:
        return Place(kind, "", name)
    wanted = "namespace/name" if kind.namespaced else "name"
    raise PluginError(f"{given!r} is no id of a {kind.name}, expected {wanted}")
