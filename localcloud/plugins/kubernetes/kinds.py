"""The kinds of objects that the plugin serves: where they live and how they change."""

from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import quote

from localcloud.plugins.kubernetes import shapes
from localcloud.plugins.kubernetes.sameness import Rules
from localcloud.plugins.shapes import Fields

_NAMED = ("name",)
_POD_LISTS = {
    "containers": _NAMED,
    "env": _NAMED,
    "ephemeralContainers": _NAMED,
    "hostAliases": ("ip",),
    "imagePullSecrets": _NAMED,
    "initContainers": _NAMED,
    "ports": ("containerPort", "protocol"),
    "topologySpreadConstraints": ("topologyKey", "whenUnsatisfiable"),
    "volumeDevices": ("devicePath",),
    "volumeMounts": ("mountPath",),
    "volumes": _NAMED,
}
_OWNED = {"ownerReferences": ("uid",)}
_PLAIN = Rules(_OWNED)


@dataclass(frozen=True, kw_only=True)
class Kind:
    """One kind. Its name and namespace are fixed: another one is another object."""

    name: str
    version: str
    plural: str
    fields: Fields = field(default_factory=lambda: shapes.WITH_SPEC)
    namespaced: bool = True
    rules: Rules = _PLAIN
    replaces: tuple[str, ...] = ()
    """Paths that the server does not change in place, beside name and namespace."""
    immutable: frozenset[str] = frozenset()
    """Inputs that it does not change once the object is `immutable`."""
    secret: frozenset[str] = frozenset()
    keeps_spec: bool = False
    """Whether the state has all of the spec: the server chooses some of it."""
    owns: tuple[str, ...] = ()
    """Lists of the spec that are applied as empty when left out, lest somebody else fill them."""
    wait: Literal["active", "rollout"] | None = None
    propagation: Literal["Background", "Foreground"] = "Background"

    @property
    def token(self) -> str:
        """The type as the official SDK names it."""
        version = f"core/{self.version}" if self.version == "v1" else self.version
        return f"kubernetes:{version}:{self.name}"

    def collection(self, namespace: str) -> str:
        """The path of the objects of one namespace."""
        root = f"/api/{self.version}" if self.version == "v1" else f"/apis/{self.version}"
        if not self.namespaced:
            return f"{root}/{self.plural}"
        return f"{root}/namespaces/{quote(namespace, safe='')}/{self.plural}"

    def replaced(self, path: str, *, immutable: bool) -> bool:
        """Whether a change of this property takes a new object."""
        above = ("metadata.name", "metadata.namespace", *self.replaces)
        above += tuple(self.immutable) if immutable else ()
        return any(path == name or path.startswith((f"{name}.", f"{name}[")) for name in above)


KINDS = (
    Kind(name="ConfigMap", version="v1", plural="configmaps", fields=shapes.CONFIG_MAP,
         immutable=frozenset({"binaryData", "data", "immutable"})),
    Kind(name="Deployment", version="apps/v1", plural="deployments",
         rules=Rules({**_OWNED, **_POD_LISTS}), replaces=("spec.selector",), wait="rollout",
         propagation="Foreground"),
    Kind(name="HorizontalPodAutoscaler", version="autoscaling/v2",
         plural="horizontalpodautoscalers"),
    Kind(name="Namespace", version="v1", plural="namespaces", namespaced=False, wait="active"),
    # Its rules are atomic lists: whatever anybody adds to one opens or closes a way.
    Kind(name="NetworkPolicy", version="networking.k8s.io/v1", plural="networkpolicies",
         rules=Rules(_OWNED, whole=frozenset({"spec"})), owns=("egress", "ingress")),
    Kind(name="PodDisruptionBudget", version="policy/v1", plural="poddisruptionbudgets"),
    Kind(name="Secret", version="v1", plural="secrets", fields=shapes.SECRET, replaces=("type",),
         immutable=frozenset({"data", "immutable", "stringData"}),
         secret=frozenset({"data", "stringData"})),
    Kind(name="Service", version="v1", plural="services", replaces=("spec.clusterIP",),
         rules=Rules({**_OWNED, "ports": ("port", "protocol")}), keeps_spec=True),
    Kind(name="ServiceAccount", version="v1", plural="serviceaccounts",
         fields=shapes.SERVICE_ACCOUNT, rules=Rules({**_OWNED, "secrets": _NAMED})),
)  # fmt: skip
