"""The inputs of pulumi_kubernetes 4.34.2. What a `spec` may hold the API server itself checks."""

from localcloud.plugins.shapes import Fields, Shape

_TEXT_MAP: Shape = {"*": "string"}

PROVIDER: Fields = {
    "alwaysRender": "boolean",
    "cluster": "string",
    "clusterIdentifier": "string",
    "context": "string",
    "deleteUnreachable": "boolean",
    "enableConfigMapMutable": "boolean",
    "enablePatchForce": "boolean",
    "enableSecretMutable": "boolean",
    "enableServerSideApply": "boolean",
    "helmReleaseSettings": "any",
    "kubeClientSettings": "any",
    "kubeconfig": "string",
    "namespace": "string",
    "renderYamlToDirectory": "string",
    "skipUpdateUnreachable": "boolean",
    "suppressDeprecationWarnings": "boolean",
    "suppressHelmHookWarnings": "boolean",
    "upsertExistingObjects": "boolean",
}
# Secrets and ConfigMaps are changed in place here whatever the two settings of that name say.
PROVIDER_SUPPORTED = frozenset(
    {"context", "enableConfigMapMutable", "enableSecretMutable", "enableServerSideApply"}
    | {"kubeconfig", "namespace"}
)

METADATA: Fields = {
    "annotations": _TEXT_MAP,
    "clusterName": "string",
    "creationTimestamp": "string",
    "deletionGracePeriodSeconds": "integer",
    "deletionTimestamp": "string",
    "finalizers": ["string"],
    "generateName": "string",
    "generation": "integer",
    "labels": _TEXT_MAP,
    "managedFields": "any",
    "name": "string",
    "namespace": "string",
    "ownerReferences": "any",
    "resourceVersion": "string",
    "selfLink": "string",
    "uid": "string",
}
# The rest of them the server fills in.
METADATA_WRITTEN = frozenset(
    {"annotations", "finalizers", "labels", "name", "namespace", "ownerReferences"}
)

_OBJECT: Fields = {"apiVersion": "string", "kind": "string", "metadata": METADATA}
WITH_SPEC: Fields = {**_OBJECT, "spec": "any"}
SERVICE_ACCOUNT: Fields = {
    **_OBJECT,
    "automountServiceAccountToken": "boolean",
    "imagePullSecrets": "any",
    "secrets": "any",
}
SECRET: Fields = {
    **_OBJECT,
    "data": _TEXT_MAP,
    "immutable": "boolean",
    "stringData": _TEXT_MAP,
    "type": "string",
}
CONFIG_MAP: Fields = {
    **_OBJECT,
    "binaryData": _TEXT_MAP,
    "data": _TEXT_MAP,
    "immutable": "boolean",
}
