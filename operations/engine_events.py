"""The Automation API's events as ours."""

from pulumi.automation import EngineEvent

from operations.jobs import MessageEvent, PhaseEvent, ResourceEvent

# Said at every start by design: the offline language host is an ambient plugin.
_NOISE = ("using pulumi-language-python from $PATH", "using pulumi-resource-pulumi-python from")


def translate(event: EngineEvent) -> ResourceEvent | MessageEvent | PhaseEvent | None:
    """Our event for one of the engine's, or None for what nobody needs."""
    if (pre := event.resource_pre_event) is not None:
        meta = pre.metadata
        return ResourceEvent(phase="begin", op=str(meta.op.value), urn=meta.urn, type=meta.type)
    if (done := event.res_outputs_event) is not None:
        meta = done.metadata
        return ResourceEvent(phase="end", op=str(meta.op.value), urn=meta.urn, type=meta.type)
    if (failed := event.res_op_failed_event) is not None:
        meta = failed.metadata
        return ResourceEvent(phase="failed", op=str(meta.op.value), urn=meta.urn, type=meta.type)
    if (said := event.diagnostic_event) is not None:
        text = said.message.strip()
        if (
            said.ephemeral
            or said.severity == "debug"
            or not text
            or any(noise in text for noise in _NOISE)
        ):
            return None
        return MessageEvent(severity=said.severity, text=text, urn=said.urn or "")
    return None
