"""What the `docker` plugin serves."""

from localcloud.plugins.docker import container, image, network, volume
from localcloud.plugins.docker.daemon import Daemon, configured
from localcloud.plugins.docker.shapes import PROVIDER
from localcloud.plugins.model import Plugin

# The SDK whose tokens and inputs these are.
SDK_VERSION = "5.2.0"

PLUGIN = Plugin[Daemon](
    name="docker",
    version=SDK_VERSION,
    config=PROVIDER,
    configure=configured,
    types=(container.TYPE, image.TYPE, network.TYPE, volume.TYPE),
    functions=(image.GET, network.GET),
)
