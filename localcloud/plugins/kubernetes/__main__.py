"""`python -m localcloud.plugins.kubernetes`: the plugin's process."""

from typing import Any

from localcloud.plugins.main import serve
from localcloud.plugins.model import Plugin


def _load() -> Plugin[Any]:
    from localcloud.plugins.kubernetes.plugin import PLUGIN  # noqa: PLC0415 - after the SDK's absence

    return PLUGIN


if __name__ == "__main__":
    serve(_load)
