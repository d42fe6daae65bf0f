"""Resources of official providers, declared without their SDKs.

An SDK is a module for every type of its provider: `pulumi_cloudflare` takes 1.3 s and 120 MB to
import, four fifths of a program that declares six of its types. What it adds to a declaration is a
token, a version and the names of some outputs. A unit test holds all of them against the SDK.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from typing import Any, cast

import pulumi

Inputs = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Kind:
    """One resource type: its provider's package on PyPI, its token, the outputs that are read.

    `secret` are outputs that the engine keeps encrypted, `replaces` inputs whose change the SDK
    itself asks to replace on.
    """

    package: str
    token: str
    outputs: tuple[str, ...] = ()
    secret: tuple[str, ...] = ()
    replaces: tuple[str, ...] = ()


def bridged(provider: str, name: str, *outputs: str, secret: tuple[str, ...] = ()) -> Kind:
    """A type of a provider that Pulumi makes from Terraform's: they all name theirs alike."""
    token = f"{provider}:index/{name[0].lower()}{name[1:]}:{name}"
    return Kind(package=f"pulumi-{provider}", token=token, outputs=outputs, secret=secret)


class Plain(pulumi.CustomResource):
    """A resource of `kind`; `inputs` by the names that the provider gives them.

    An input that is None is not set. Within an input there may be no None.
    """

    def __init__(
        self, kind: Kind, name: str, inputs: Inputs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        # Not `kind`: what inputs and outputs are called becomes an attribute too.
        self.resource_kind = kind
        named = pulumi.ResourceOptions(
            version=version(kind.package),
            additional_secret_outputs=list(kind.secret) or None,
            replace_on_changes=list(kind.replaces) or None,
        )
        # A name without a value is how the SDK is told which outputs there will be.
        properties = {**dict.fromkeys(kind.outputs), **inputs}
        super().__init__(kind.token, name, properties, pulumi.ResourceOptions.merge(opts, named))

    def output(self, name: str) -> pulumi.Output[Any]:
        """One of the inputs or of `kind.outputs`, as the provider tells it."""
        return cast("pulumi.Output[Any]", self.__dict__[name])


def invoke(
    package: str, token: str, arguments: Inputs, opts: pulumi.InvokeOutputOptions
) -> pulumi.Output[Mapping[str, Any]]:
    """What a function of the provider answers."""
    named = pulumi.InvokeOutputOptions(version=version(package))
    found: pulumi.Output[Any] = pulumi.runtime.invoke_output(
        token, dict(arguments), opts=pulumi.InvokeOutputOptions.merge(named, opts)
    )
    return found


def given(**values: object) -> dict[str, Any]:
    """The values that are there: what is None is left out."""
    return {name: value for name, value in values.items() if value is not None}


@cache
def version(package: str) -> str:
    """The release of the provider that the lock pins: its SDK carries the same number."""
    return metadata.version(package)
