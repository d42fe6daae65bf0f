"""Which layer this stack is, and nothing else: the layers live in `stacks/`."""

import importlib

import pulumi

LAYERS = ("agents", "gpu", "nas")

layer = pulumi.Config().get("layer") or pulumi.get_stack()
if layer not in LAYERS:
    raise pulumi.RunError(
        f"stack {pulumi.get_stack()!r} is no layer; set agent-docker:layer to one of {LAYERS}"
    )
# Only this layer's SDKs are loaded.
importlib.import_module(f"stacks.{layer}").build()
