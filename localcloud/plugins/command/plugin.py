"""What the `command` plugin serves: commands of this machine, none over ssh."""

from localcloud.plugins.command import local
from localcloud.plugins.model import Plugin
from localcloud.plugins.values import Properties

# The SDK whose tokens and inputs these are.
SDK_VERSION = "1.2.1"


def _configured(settings: Properties) -> None:
    del settings  # there are none


PLUGIN = Plugin[None](
    name="command",
    version=SDK_VERSION,
    config={},
    configure=_configured,
    types=(local.TYPE,),
)
