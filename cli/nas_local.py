"""The nas stack as a part of the local profile: up with it, down with it."""

from collections.abc import Mapping

from cli.ending import complain
from cli.files import LocalFiles
from cli.lock import exclusive
from cli.nas_images import ensure_images
from cli.nas_profile import NoDaemon, local_daemon, local_nas
from cli.progress import Progress
from contracts.errors import AgentDockerError
from operations.nas import Deployed


def up(files: LocalFiles, env: Mapping[str, str], progress: Progress) -> Deployed | None:
    """The services on this machine's daemon; None, and it is said, when there is no daemon."""
    try:
        local_daemon(env)
    except NoDaemon as error:
        progress.tell(f"[yellow]·[/yellow] the NAS's services are left out: {error.message}")
        return None
    with exclusive(files, "up"):
        profile = local_nas(files, env, progress)
        ensure_images(profile.documents, progress)
        with progress.phase("nas", "the NAS's services are deployed and work"):
            return profile.nas(progress).up(profile.settings)


def down(files: LocalFiles, env: Mapping[str, str], progress: Progress) -> bool:
    """Remove containers and network; their data stays. Whether there was anything."""
    if not any((files.nas_backend / ".pulumi" / "stacks").rglob("nas.json")):
        return False
    try:
        with exclusive(files, "down"), progress.phase("nas", "the NAS's services end"):
            nas = local_nas(files, env, progress).nas(progress)
            if not nas.stack.snapshot().state.resources:
                return False
            nas.destroy()
            return True
    except AgentDockerError as error:
        # The rest of the profile goes down all the same.
        complain(f"the NAS's services stay: {error.message}", error.hint, kind="warning")
        return False
