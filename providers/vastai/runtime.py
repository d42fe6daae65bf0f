"""The client and session that all resources of one provider process share.

The provider class itself carries no attributes (they would be pickled into state), so what a
process needs is built here on first use, from the environment.
"""

import os
import threading
from dataclasses import dataclass
from functools import cache

from providers.vastai.client import VastClient
from providers.vastai.credentials import Credentials
from providers.vastai.renting import Renter
from providers.vastai.session import UpdateSession, current_update

_building = threading.Lock()


@dataclass(frozen=True, kw_only=True)
class Runtime:
    """What the operations of one provider process work with."""

    client: VastClient
    session: UpdateSession
    renter: Renter


def runtime() -> Runtime:
    """The runtime of this process; SettingsError when the key is missing or unsafe."""
    with _building:  # Four operations start at once.
        return _build()


@cache
def _build() -> Runtime:
    client = VastClient(Credentials.read(os.environ))
    session = UpdateSession(client, update=current_update())
    return Runtime(client=client, session=session, renter=Renter(client=client, session=session))
