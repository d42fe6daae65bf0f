"""The resource type Container."""

from collections.abc import Mapping
from dataclasses import replace

from localcloud.plugins.diffs import changes
from localcloud.plugins.docker import attachments, creation, readback, uploads, waits
from localcloud.plugins.docker.daemon import Daemon, answering, unless_gone
from localcloud.plugins.docker.durations import nanoseconds
from localcloud.plugins.docker.sameness import same
from localcloud.plugins.docker.shapes import CONTAINER, CONTAINER_UNSUPPORTED
from localcloud.plugins.model import (
    Call,
    Change,
    Found,
    InitFailedError,
    Made,
    Old,
    PluginError,
    ResourceType,
)
from localcloud.plugins.shapes import Refusal, names, written
from localcloud.plugins.values import (
    Properties,
    Values,
    flag_of,
    map_of,
    maps_of,
    text_of,
    whole_of,
)

IN_PLACE = frozenset(
    {"cpuSet", "cpuShares", "maxRetryCount", "memory", "memoryReservation", "memorySwap", "restart"}
)
# Kept in the state, never sent: a health check edited in place stays as it was in the daemon.
STATE_ONLY = frozenset(
    {
        "containerReadRefreshTimeoutMilliseconds",
        "cpuPeriod",
        "cpuQuota",
        "destroyGraceSeconds",
        "healthcheck",
        "init",
        "mustRun",
        "removeVolumes",
        "rm",
        "start",
        "tmpfs",
        "wait",
        "waitTimeout",
    }
)
REPLACES = names(CONTAINER) - IN_PLACE - STATE_ONLY
_TIMES = ("interval", "timeout", "startPeriod", "startInterval")
_WAIT_SECONDS = 60
_REMOVAL_SECONDS = 30.0


def check(inputs: Properties) -> list[Refusal]:
    """Refuse what this plugin does not do, and durations that are none."""
    found = [
        Refusal(name, f"the offline docker plugin does not do a container's {name}: leave it out")
        for name in sorted(CONTAINER_UNSUPPORTED & set(inputs))
    ]
    for network in maps_of(inputs, "networksAdvanced"):
        if network.get("gwPriority"):
            reason = "the offline docker plugin does not do gwPriority: leave it out"
            found.append(Refusal("networksAdvanced", reason))
    for name in _TIMES:
        try:
            nanoseconds(text_of(map_of(inputs, "healthcheck"), name))
        except ValueError as error:
            found.append(Refusal(f"healthcheck.{name}", f"healthcheck.{name} is {error}"))
    return found


def create(call: Call[Daemon], inputs: Properties) -> Made:
    """Create, connect, upload, start and wait; after the first the container is kept."""
    daemon, name = call.client, text_of(inputs, "name")
    plan = attachments.planned(inputs, has_bridge=daemon.has_bridge)
    request = creation.body(inputs)
    mode = attachments.mode(inputs, plan)
    if mode is not None:
        map_of(request, "HostConfig")["NetworkMode"] = mode
    if plan.begins is not None and mode is not None:
        request["NetworkingConfig"] = {"EndpointsConfig": {mode: attachments.endpoint(plan.begins)}}
    with answering(f"container {name} cannot be created from {text_of(inputs, 'image')}"):
        made = daemon.api.create_container_from_config(
            request, name, text_of(inputs, "platform") or None
        )
    container: str = made["Id"]
    try:
        trouble = _bring_up(call, container, inputs, plan)
    except PluginError as error:
        trouble = str(error)
    if trouble is not None:
        reason = f"container {name} ({container[:12]}): {trouble}"
        raise InitFailedError(Made(container, _failed(daemon, container)), reason)
    state = _state(daemon, waits.inspect(daemon, container), inputs)
    # Only a refresh finds that it has stopped, and how much swap the daemon gave it.
    asked: Values = {name: inputs.get(name) for name in ("memorySwap", "mustRun")}
    return Made(container, {**state, **asked})


def _bring_up(
    call: Call[Daemon], container: str, inputs: Values, plan: attachments.Attachments
) -> str | None:
    attachments.join(call.client, container, plan)
    for upload in maps_of(inputs, "uploads"):
        with answering(f"{text_of(upload, 'file')} cannot be uploaded"):
            call.client.api.put_archive(container, "/", uploads.archive(upload))
    return _run(call, container, inputs) if flag_of(inputs, "start", default=True) else None


def _run(call: Call[Daemon], container: str, inputs: Values) -> str | None:
    with answering("cannot be started"):
        call.client.api.start(container)
    if flag_of(inputs, "wait"):
        seconds = whole_of(inputs, "waitTimeout", _WAIT_SECONDS)
        return waits.trouble_with_health(call, container, seconds)
    if flag_of(inputs, "mustRun", default=True):
        return waits.trouble_at_start(call, container)
    return None


def _failed(daemon: Daemon, container: str) -> Values:
    """What is known of a container that failed; nothing when it removed itself (`rm`)."""
    try:
        return readback.computed(waits.inspect(daemon, container))
    except PluginError:
        return {}


def _state(daemon: Daemon, found: readback.Inspected, before: Values) -> Values:
    state = readback.state(found, before)
    plan = attachments.planned(before, has_bridge=daemon.has_bridge)
    if plan.begins is not None and state["networkMode"] == text_of(plan.begins, "name"):
        # As the program wrote it: see `attachments.planned`.
        state["networkMode"] = before.get("networkMode")
    return state


def read(call: Call[Daemon], old: Old) -> Found | None:
    """Look at the container; a stopped one that must run comes back as one that need not."""
    found: readback.Inspected | None = None
    with answering(f"container {old.id[:12]} cannot be inspected"), unless_gone():
        found = call.client.api.inspect_container(old.id)
    if found is None:
        return None
    # After an earlier refresh `mustRun` may be false already: what was asked for is in neither.
    state = _state(call.client, found, {**old.inputs, **old.outputs})
    return Found(found["Id"], state, written(state, CONTAINER))


def update(call: Call[Daemon], old: Old, inputs: Properties) -> Values:
    """Send what the daemon can change in place, and start what must run again."""
    changed = [
        name
        for name in IN_PLACE
        if name in inputs and not same(name, old.outputs.get(name), inputs[name])
    ]
    if changed:
        _send(call.client, old.id, inputs)
    found = waits.inspect(call.client, old.id)
    if flag_of(inputs, "mustRun", default=True) and not found["State"]["Running"]:
        _start_again(call, old, inputs)
        found = waits.inspect(call.client, old.id)
    state = _state(call.client, found, inputs)
    asked: Values = {name: inputs.get(name) for name in ("memorySwap", *STATE_ONLY)}
    return {**state, **asked}


def _send(daemon: Daemon, container: str, inputs: Values) -> None:
    def size(name: str) -> int:
        return creation.mib(whole_of(inputs, name))

    with answering(f"container {text_of(inputs, 'name')} cannot be updated"):
        daemon.api.update_container(
            container,
            cpu_shares=whole_of(inputs, "cpuShares") or None,
            cpuset_cpus=text_of(inputs, "cpuSet") or None,
            mem_limit=size("memory") or None,
            mem_reservation=size("memoryReservation") or None,
            memswap_limit=size("memorySwap") or None,
            restart_policy={
                "Name": text_of(inputs, "restart", "no"),
                "MaximumRetryCount": whole_of(inputs, "maxRetryCount"),
            },
        )


def _start_again(call: Call[Daemon], old: Old, inputs: Values) -> None:
    name = text_of(inputs, "name")
    with answering(f"container {name} cannot be started"):
        call.client.api.start(old.id)
    trouble = waits.trouble_at_start(call, old.id)
    if trouble is not None:
        made = Made(old.id, _failed(call.client, old.id))
        raise InitFailedError(made, f"container {name} ({old.id[:12]}): {trouble}")


def delete(call: Call[Daemon], old: Old) -> None:
    """Stop with the grace of the old state, none by default, and remove."""
    api, name = call.client.api, text_of(old.outputs, "name", old.id[:12])
    grace = whole_of(old.outputs, "destroyGraceSeconds")
    volumes = flag_of(old.outputs, "removeVolumes", default=True)
    with answering(f"container {name} cannot be removed"), unless_gone():
        api.stop(old.id, timeout=grace)
        if not flag_of(old.outputs, "rm"):
            api.remove_container(old.id, v=volumes, force=True)
            return
    if not waits.until(lambda: read(call, old) is None, call, _REMOVAL_SECONDS):
        raise PluginError(f"container {name} did not remove itself after its stop (rm is set)")


def diff(old: Old, inputs: Properties) -> Mapping[str, Change]:
    """Compare, with the swap that nobody asked for: a refresh finds what the daemon made of it."""
    found = changes(_PLAIN, old, inputs)
    computed_swap = old.outputs.get("memorySwap") and "memorySwap" not in inputs
    return {**found, "memorySwap": "delete"} if computed_swap else found


_PLAIN = ResourceType[Daemon](
    token="docker:index/container:Container",  # noqa: S106 - a type's name
    inputs=CONTAINER,
    create=create,
    read=read,
    update=update,
    delete=delete,
    replaces=REPLACES,
    delete_before_replace=True,
    taints=True,
    computed=frozenset({"bridge", "containerLogs", "exitCode", "networkDatas"}),
    defaults={
        "mustRun": True,
        "readOnly": False,
        "removeVolumes": True,
        "restart": "no",
        "rm": False,
        "start": True,
        "wait": False,
        "waitTimeout": _WAIT_SECONDS,
    },
    autoname="name",
    check=check,
    same=same,
)
TYPE = replace(_PLAIN, diff=diff)
