"""The smallest image that runs something: Debian's static busybox."""

from pathlib import Path

from tests.docker.daemon import Docker, imported, lack

BUSYBOX = Path("/bin/busybox")
IMAGE = "local/box:1"
FOREVER = ["/bin/busybox", "sleep", "1000000"]


def import_box(docker: Docker, folder: Path) -> str:
    """Make the image of files below `folder`; without busybox a laptop skips and CI fails."""
    if not BUSYBOX.exists():
        lack("Debian's busybox-static not installed")
    for name in ("bin", "etc", "tmp", "data"):
        (folder / name).mkdir()
    (folder / "bin/busybox").write_bytes(BUSYBOX.read_bytes())
    (folder / "bin/busybox").chmod(0o755)
    (folder / "bin/sh").symlink_to("busybox")
    imported(docker, folder, IMAGE)
    return IMAGE
