"""The documents and secrets of the nas stack, read and checked."""

import pulumi

from contracts import outputs
from contracts.nas import NasDocuments
from contracts.program import PROJECT
from contracts.settings import parse
from stacks.last_update import LastUpdate


def read_documents(last: LastUpdate) -> NasDocuments:
    """All documents at once. Who is held back is what the last update says, unless they do."""
    config = pulumi.Config()
    keys = ("nas", "services", "ingress", "images", outputs.HELD)
    found = {key: config.get_object(key) for key in keys}
    if found[outputs.HELD] is None:
        found[outputs.HELD] = last.output(outputs.HELD)
    given = {key: value for key, value in found.items() if value is not None}
    return parse(NasDocuments, given, where=f"Pulumi.{pulumi.get_stack()}.yaml", key=PROJECT)
