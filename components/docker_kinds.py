"""The docker provider's resource types that the nas stack is made of."""

from components.plain import Kind

PACKAGE = "pulumi-docker"


def _kind(name: str, *outputs: str) -> Kind:
    token = f"docker:index/{name[0].lower()}{name[1:]}:{name}"
    return Kind(package=PACKAGE, token=token, outputs=outputs)


CONTAINER = _kind("Container")
IMAGE = _kind("RemoteImage", "imageId")
NETWORK = _kind("Network")
VOLUME = _kind("Volume")
KINDS = (CONTAINER, IMAGE, NETWORK, VOLUME)
