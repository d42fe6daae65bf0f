"""One dynamic resource; its outputs tell which Python ran the program and which the provider."""

import os
import sys
from typing import Any

import pulumi
from pulumi.dynamic import CreateResult, Resource, ResourceProvider


class _Provider(ResourceProvider):
    serialize_as_secret_always = False

    def create(self, props: dict[str, Any]) -> CreateResult:
        import sys  # noqa: PLC0415 - the provider is pickled by value

        return CreateResult("thing-1", {**props, "prefix": sys.prefix})


class Thing(Resource, module="tests", name="Thing"):
    """Exists only in the state."""

    prefix: pulumi.Output[str]

    def __init__(self, name: str) -> None:
        super().__init__(_Provider(), name, {"size": 3, "prefix": None})


print("a line of the program")  # noqa: T201 - what the test looks for
print("a line on its stderr", file=sys.stderr)  # noqa: T201 - what the test looks for
thing = Thing(os.environ.get("TEST_NAME", "thing"))
config = pulumi.Config()
pulumi.export("program", sys.prefix)
pulumi.export("provider", thing.prefix)
pulumi.export("plain", config.get("plain"))
pulumi.export("secret", config.get_secret("secret"))
pulumi.export("root", pulumi.get_root_directory())
