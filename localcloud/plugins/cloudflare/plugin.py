"""Everything that the plugin serves."""

from localcloud.plugins.cloudflare import shapes
from localcloud.plugins.cloudflare.access import APPLICATION, POLICY, SERVICE_TOKEN
from localcloud.plugins.cloudflare.api import Api, configure
from localcloud.plugins.cloudflare.records import RECORD
from localcloud.plugins.cloudflare.tunnels import CONFIG, TOKEN, TUNNEL
from localcloud.plugins.model import Plugin

PLUGIN: Plugin[Api] = Plugin(
    name="cloudflare",
    version="6.23.1",
    config=shapes.PROVIDER,
    configure=configure,
    types=(TUNNEL, CONFIG, RECORD, POLICY, APPLICATION, SERVICE_TOKEN),
    functions=(TOKEN,),
)
