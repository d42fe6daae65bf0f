"""The life of an object: applied, read, compared and deleted, the same for every kind."""

from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

from localcloud.plugins.kubernetes import readback, waits
from localcloud.plugins.kubernetes.kinds import KINDS, Kind
from localcloud.plugins.kubernetes.places import Cluster, Place, of_id, of_inputs
from localcloud.plugins.kubernetes.refusals import CONFLICT, INVALID, ApiError, manager_of
from localcloud.plugins.kubernetes.sameness import differences
from localcloud.plugins.kubernetes.shapes import METADATA_WRITTEN
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
from localcloud.plugins.shapes import Refusal
from localcloud.plugins.values import (
    Properties,
    Value,
    Values,
    flag_of,
    hide,
    leaves,
    map_of,
    string_map_of,
    text_of,
)

# Says how many pods there are between us, who do not any more, and an autoscaler.
_HANDOVER = "agent-docker-handover"


def check(kind: Kind, inputs: Properties) -> list[Refusal]:
    """Refuse what the server would, as far as the program alone shows it."""
    metadata = map_of(inputs, "metadata")
    found = [
        Refusal(name, f"{kind.token}: {name} is {inputs[name]!r}, expected {wanted!r}")
        for name, wanted in (("apiVersion", kind.version), ("kind", kind.name))
        if inputs.get(name, wanted) != wanted
    ]
    if not isinstance(inputs.get("metadata", {}), dict):
        return found
    if not metadata.get("name"):
        reason = f"{kind.token}: set metadata.name: the offline plugin makes up no names"
        found.append(Refusal("metadata.name", reason))
    if metadata.get("namespace") and not kind.namespaced:
        reason = f"{kind.token}: a {kind.name} is in no namespace: leave metadata.namespace out"
        found.append(Refusal("metadata.namespace", reason))
    for name in sorted({*metadata} - METADATA_WRITTEN - {"generateName"}):
        reason = f"{kind.token}: metadata.{name} is the server's own: leave it out"
        found.append(Refusal(f"metadata.{name}", reason))
    return found


def create(kind: Kind, call: Call[Cluster], inputs: Properties) -> Made:
    """Apply what is not there yet, and wait as its kind wants.

    Apply would change a stranger's object without a word, so what is there is refused, unless it
    carries this resource's own URN: then it is ours from a create whose answer was lost.
    """
    api = call.client.api
    at = of_inputs(kind, inputs, api.namespace)
    existing = api.find(at.what, at.path)
    if existing is not None and _going(existing):
        waits.gone(call, at, _uid(existing), waits.seconds(call, inputs))
        existing = None
    if existing is not None and _urn(existing) != call.urn:
        raise PluginError(
            f"{at.what} is there already, and not from this resource ({manager_of(existing)})\n"
            f"hint: import it (pulumi import {kind.token} {call.name} {at.id}), delete it, or"
            " give this one another name"
        )
    with _told_without_values(kind, inputs):
        live = api.apply(at.what, at.path, _body(call, at, inputs), force=existing is not None)
        return Made(at.id, _finished(call, at, live, inputs))


def update(kind: Kind, call: Call[Cluster], old: Old, inputs: Properties) -> Values:
    """Apply over the object of the state's uid, whoever changed it meanwhile."""
    api = call.client.api
    at = of_id(kind, old.id, api.namespace)
    uid = _uid(old.outputs)
    with _told_without_values(kind, inputs):
        try:
            if kind.name == "Deployment" and _hands_over(old.inputs, inputs):
                _keep_replicas(call, at, uid)
            live = api.apply(at.what, at.path, _body(call, at, inputs, uid=uid), force=True)
        except ApiError as error:
            there = api.find(at.what, at.path) if error.status in {CONFLICT, INVALID} else {}
            if there is None and error.status == CONFLICT:
                call.log("it was gone: made anew")
                return create(kind, call, inputs).outputs
            if there and uid and _uid(there) != uid:
                raise PluginError(
                    f"{at.what} is not the one of the state: somebody deleted that one and made"
                    " another\nhint: run a refresh, then decide whose it is"
                ) from error
            raise
        return _finished(call, at, live, inputs)


def _hands_over(before: Properties, inputs: Properties) -> bool:
    """Whether the number of pods is somebody else's from now on: an autoscaler's."""
    had, has = (map_of(one, "spec").get("replicas") for one in (before, inputs))
    return had is not None and has is None


def _keep_replicas(call: Call[Cluster], at: Place, uid: str) -> None:
    """Have another manager say what there is now.

    What nobody says any more gets its default: a Deployment would go down to one pod until its
    autoscaler looks.
    """
    live = call.client.api.find(at.what, at.path)
    if live is None or _uid(live) != uid:
        return
    body: Values = {
        "apiVersion": at.kind.version,
        "kind": at.kind.name,
        "metadata": {"name": at.name, "namespace": at.namespace, "uid": uid},
        "spec": {"replicas": map_of(live, "spec").get("replicas")},
    }
    call.client.api.apply(at.what, at.path, body, force=True, manager=_HANDOVER)


def read(kind: Kind, call: Call[Cluster], old: Old) -> Found | None:
    """Look at it. An object that was made anew under its name is not the one of the state."""
    at = of_id(kind, old.id, call.client.api.namespace)
    live = call.client.api.find(at.what, at.path)
    known = _uid(old.outputs)
    if live is None or (known and known != _uid(live)):
        return None
    return Found(
        at.id,
        _with_texts(kind, live, old.inputs),
        readback.found_inputs(kind, live, old.inputs),
    )


def delete(kind: Kind, call: Call[Cluster], old: Old) -> None:
    """Delete the object of the state's uid, and wait until it is gone, with its pods."""
    api = call.client.api
    at, uid = of_id(kind, old.id, api.namespace), _uid(old.outputs)
    options: Values = {"propagationPolicy": kind.propagation}
    if uid:
        options["preconditions"] = {"uid": uid}
    try:
        answer = api.delete(at.what, at.path, options)
    except ApiError as error:
        if error.says_gone(at.path):
            return
        live = api.find(at.what, at.path) if error.status == CONFLICT else {}
        if live is None:
            return
        if live and uid and _uid(live) != uid:
            call.log("left alone: somebody made another under its name")
            return
        if not _going(live):
            raise
        answer = live
    if _going(answer):
        waits.gone(call, at, uid or _uid(answer), waits.seconds(call, old.inputs))


def diff(kind: Kind, old: Old, inputs: Properties) -> Mapping[str, Change]:
    """Compare the program's inputs with the object as it was last seen."""
    live, new, before = map(readback.written, (old.outputs, inputs, old.inputs))
    immutable = flag_of(old.outputs, "immutable")
    return {
        path: "replace" if kind.replaced(path, immutable=immutable) else change
        for path, change in differences(kind.rules, live, new, before).items()
    }


def _body(call: Call[Cluster], at: Place, inputs: Properties, *, uid: str = "") -> Values:
    metadata = map_of(inputs, "metadata")
    own: Values = {"name": at.name, "namespace": at.namespace, "uid": uid}
    own = {name: value for name, value in own.items() if value}
    annotations: Values = {**map_of(metadata, "annotations"), readback.URN: call.urn}
    body = readback.written(inputs)
    if at.kind.owns:
        body["spec"] = {**{name: [] for name in at.kind.owns}, **map_of(inputs, "spec")}
    return {
        **body,
        "apiVersion": at.kind.version,
        "kind": at.kind.name,
        "metadata": {**metadata, **own, "annotations": annotations},
    }


def _finished(call: Call[Cluster], at: Place, live: Values, inputs: Properties) -> Values:
    """Wait as the kind wants; a Service and all others are done when they exist."""
    trouble = None
    call = replace(call, log=_hiding(call.log, inputs))
    try:
        if waits.skipped(inputs):
            pass
        elif at.kind.wait == "rollout":
            live, trouble = waits.rolled_out(call, at, live, waits.seconds(call, inputs))
        elif at.kind.wait == "active":
            waits.usable(call, at)
    except PluginError as error:
        trouble = str(error)  # it is there all the same
    outputs = readback.state(at.kind, live, inputs)
    if trouble is not None:
        raise InitFailedError(Made(at.id, outputs), f"{at.what}: {trouble}")
    return outputs


def _hiding(show: Callable[[str], None], inputs: Properties) -> Callable[[str], None]:
    """A log without secrets: what a cluster says of a container may quote its command."""

    def log(text: str) -> None:
        show(hide(text, inputs.words))

    return log


def _with_texts(kind: Kind, live: Values, inputs: Properties) -> Values:
    """The state after a read; `stringData` stands in it as the program wrote it."""
    outputs = readback.state(kind, live, inputs)
    texts = readback.found_inputs(kind, live, inputs).get("stringData") if inputs else None
    return outputs if texts is None else {**outputs, "stringData": texts}


@contextmanager
def _told_without_values(kind: Kind, inputs: Properties) -> Generator[None]:
    """Keep a Secret's values out of what the server answers; it may quote what it refuses."""
    try:
        yield
    except PluginError as error:
        words = [
            word
            for name in kind.secret
            for source in (inputs, readback.written(inputs))
            for word in leaves(source.get(name))
            if isinstance(word, str)
        ]
        hidden = hide(str(error), words)
        if hidden == str(error):
            raise
        raise PluginError(hidden) from None


def _going(live: Mapping[str, Value]) -> bool:
    return bool(map_of(dict(live), "metadata").get("deletionTimestamp"))


def _uid(live: Mapping[str, Value]) -> str:
    return text_of(map_of(live, "metadata"), "uid")


def _urn(live: Values) -> str:
    return string_map_of(map_of(live, "metadata"), "annotations").get(readback.URN, "")


def _type(kind: Kind) -> ResourceType[Cluster]:
    return ResourceType[Cluster](
        token=kind.token,
        inputs=kind.fields,
        create=partial(create, kind),
        read=partial(read, kind),
        update=partial(update, kind),
        delete=partial(delete, kind),
        delete_before_replace=True,
        secret=kind.secret,
        check=partial(check, kind),
        same=partial(readback.same, kind),
        diff=partial(diff, kind),
        preview=partial(readback.preview, kind),
    )


TYPES = tuple(_type(kind) for kind in KINDS)
