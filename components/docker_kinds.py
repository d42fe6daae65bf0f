"""The docker provider's resource types that the nas stack is made of."""

from components.plain import bridged

CONTAINER = bridged("docker", "Container")
IMAGE = bridged("docker", "RemoteImage", "imageId")
NETWORK = bridged("docker", "Network")
VOLUME = bridged("docker", "Volume")
KINDS = (CONTAINER, IMAGE, NETWORK, VOLUME)
