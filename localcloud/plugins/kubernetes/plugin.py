"""What the `kubernetes` plugin serves."""

from localcloud.plugins.kubernetes.objects import TYPES
from localcloud.plugins.kubernetes.places import Cluster, configured
from localcloud.plugins.kubernetes.shapes import PROVIDER
from localcloud.plugins.model import Plugin

# The SDK whose tokens and inputs these are.
SDK_VERSION = "4.34.2"

PLUGIN = Plugin[Cluster](
    name="kubernetes",
    version=SDK_VERSION,
    config=PROVIDER,
    configure=configured,
    types=TYPES,
)
