"""The kubernetes provider's resource types that agents are made of."""

from components.plain import Kind

PACKAGE = "pulumi-kubernetes"
# By apiVersion and kind, as objects name theirs.
_SECRET_PARTS = {"Secret": ("data", "stringData")}
KINDS = {
    (version, kind): Kind(
        package=PACKAGE,
        token=f"kubernetes:{'core/v1' if version == 'v1' else version}:{kind}",
        outputs=("metadata",),
        secret=_SECRET_PARTS.get(kind, ()),
    )
    for version, kind in (
        ("v1", "Namespace"),
        ("v1", "ServiceAccount"),
        ("v1", "Secret"),
        ("v1", "ConfigMap"),
        ("v1", "Service"),
        ("apps/v1", "Deployment"),
        ("autoscaling/v2", "HorizontalPodAutoscaler"),
        ("networking.k8s.io/v1", "NetworkPolicy"),
        ("policy/v1", "PodDisruptionBudget"),
    )
}
