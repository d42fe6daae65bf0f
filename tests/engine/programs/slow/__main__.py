"""A resource whose creation ends when the test lets it, and one that waits for it."""

import os
from pathlib import Path
from typing import Any

import pulumi
from pulumi.dynamic import CreateResult, Resource, ResourceProvider

FOLDER = os.environ["TEST_FOLDER"]


class _Provider(ResourceProvider):
    serialize_as_secret_always = False

    def create(self, props: dict[str, Any]) -> CreateResult:
        import os  # noqa: PLC0415 - the provider is pickled by value
        import time  # noqa: PLC0415 - likewise
        from pathlib import Path  # noqa: PLC0415 - likewise

        folder = Path(props["folder"])
        (folder / "provider.tmp").write_text(str(os.getpid()))
        (folder / "provider.tmp").rename(folder / "provider")
        deadline = time.monotonic() + 60
        while not (folder / "go").exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        return CreateResult("slow-1", props)


class Slow(Resource, module="tests", name="Slow"):
    """Exists only in the state."""

    def __init__(self, name: str, after: pulumi.Input[str]) -> None:
        super().__init__(_Provider(), name, {"folder": FOLDER, "after": after})


Path(FOLDER, "program").write_text(f"{os.getpid()} {os.getppid()}")
first = Slow("first", "nothing")
Slow("second", first.id)
