"""Images of the local profile: what the machine has, and stand-ins for all else."""

from cli.progress import Progress
from contracts.nas import NasDocuments


def ensure_images(documents: NasDocuments, progress: Progress) -> None:
    """Every image is there; says which services are stand-ins."""
    from docker import DockerClient  # noqa: PLC0415 - only the nas commands load it

    from localcloud.images import Kind, ensure, kind_of  # noqa: PLC0415 - as above

    names = list(documents.services.root)
    wanted: dict[str, Kind] = {documents.image(name): kind_of(name) for name in names}
    with progress.phase("images", "images, stand-ins where this machine has none"):
        client = DockerClient(documents.nas.docker)
        try:
            found = ensure(client, wanted, progress.say)
        finally:
            client.close()
    made = [name for name in names if found[documents.image(name)] == "stand-in"]
    if made:
        progress.tell(f"[dim]stand-ins, not the real programs: {', '.join(made)}[/dim]")
