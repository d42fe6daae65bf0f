"""Images of the local profile: what the machine has, and stand-ins for all else."""

from collections.abc import Mapping

from cli.progress import Progress
from contracts.nas import NasDocuments

# Services whose image is not one of the platform's own, by the kind of their stand-in.
_KINDS: Mapping[str, str] = {
    "minio": "s3",
    "postgres": "postgres",
    "redis": "redis",
    "agent-brain": "qdrant",
    "cloudflared": "cloudflared",
}


def ensure_images(documents: NasDocuments, progress: Progress) -> None:
    """Every image is there; says which services are stand-ins."""
    from docker import DockerClient  # noqa: PLC0415 - only the nas commands load it

    from localcloud.images import ensure  # noqa: PLC0415 - as above

    names = list(documents.services.root)
    wanted = {documents.image(name): _KINDS.get(name, "service") for name in names}
    with progress.phase("images", "images, stand-ins where this machine has none"):
        client = DockerClient(documents.nas.docker)
        try:
            found = ensure(client, wanted, progress.say)  # type: ignore[arg-type]
        finally:
            client.close()
    made = [name for name in names if found[documents.image(name)] == "stand-in"]
    if made:
        progress.tell(f"[dim]stand-ins, not the real programs: {', '.join(made)}[/dim]")
