"""The environment of one engine process, built from nothing: the shell has no way in."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from tools.engine.model import Engine

# Where sh and the basic tools are on every platform we run on.
SYSTEM_PATH = ("/usr/bin", "/bin")


def child_environment(
    engine: Engine,
    *,
    python: Path,
    home: Path,
    backend_url: str,
    passphrase_file: Path,
    plugin_dirs: Sequence[Path] = (),
    extra: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """Return the whole environment for `engine.pulumi` and everything it starts.

    `home` is a folder of this process alone: HOME, and PULUMI_HOME below it. `python` runs the
    program. `plugin_dirs` come first on the PATH, `extra` is added last and may replace anything.
    Of the caller's own environment only TMPDIR and LANG are kept.
    """
    path = [*plugin_dirs, *engine.plugin_dirs, engine.pulumi.parent, *SYSTEM_PATH]
    return {
        "PATH": os.pathsep.join(dict.fromkeys(map(str, path))),
        "HOME": str(home),
        "TMPDIR": os.environ.get("TMPDIR", "/tmp"),  # noqa: S108 - the system's own default
        "LANG": os.environ.get("LANG", "C.UTF-8"),
        "PULUMI_HOME": str(home / ".pulumi"),
        "PULUMI_BACKEND_URL": backend_url,
        "PULUMI_CONFIG_PASSPHRASE_FILE": str(passphrase_file),
        "PULUMI_SKIP_UPDATE_CHECK": "true",
        "PULUMI_DIY_BACKEND_DISABLE_CHECKPOINT_BACKUPS": "true",
        # The official language host asks this one, ours the one below.
        "PULUMI_PYTHON_CMD": str(python),
        "AGENT_DOCKER_OFFLINE": "1",
        "AGENT_DOCKER_PYTHON": str(python),
        **(extra or {}),
    }
