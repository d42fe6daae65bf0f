"""The environment of the local profile's engine with resource plugins: nothing of the shell's."""

import sys
from collections.abc import Mapping
from pathlib import Path

from cli import leftovers
from cli.files import LocalFiles
from cli.progress import Progress


def engine_env(
    files: LocalFiles, env: Mapping[str, str], progress: Progress, backend: Path, **extra: str
) -> dict[str, str]:
    """For an engine whose state is in the folder `backend`; finds or installs the engine."""
    from localcloud.plugins.folders import folders  # noqa: PLC0415 - only the local profile
    from tools import engine  # noqa: PLC0415 - needs these

    progress.say("looking for the Pulumi engine")
    return engine.child_environment(
        engine.ensure(env, on_progress=progress.say),
        python=Path(sys.executable),
        home=files.folder / "home",
        backend_url=f"file://{backend}",
        passphrase_file=files.folder / "passphrase",
        plugin_dirs=folders(env),
        extra={
            "TMPDIR": str(files.folder / "tmp"),
            "AGENT_DOCKER_RUN_DIR": str(files.folder / "run"),
            "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
            **extra,
            **leftovers.mark(files),
        },
    )
