"""Waiting for objects: that a Deployment has rolled out, a namespace can be used, one is gone."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from contracts.rollouts import (
    Object,
    Rollout,
    current_replica_set,
    given_up,
    not_ready,
    rollout,
)
from localcloud.plugins.kubernetes.api import Api
from localcloud.plugins.kubernetes.places import Cluster, Place
from localcloud.plugins.kubernetes.refusals import FORBIDDEN, ApiError
from localcloud.plugins.model import Call, PluginError
from localcloud.plugins.values import (
    Values,
    map_of,
    maps_of,
    string_map_of,
    text_of,
    texts_of,
    whole_of,
)

SKIP = "pulumi.com/skipAwait"
SECONDS = "pulumi.com/timeoutSeconds"
_DEFAULT_SECONDS = 600.0
# How long the controller may take to say that the deadline has passed.
_GRACE_SECONDS = 60.0
_SLICE_SECONDS = 0.5
# The watch tells of changes; this is for when it does not.
_LOOK_SECONDS = 2.0
_TROUBLE_SECONDS = 10.0
_ACCOUNT_SECONDS = 10.0
_EVENTS_OF_PODS = 3


@dataclass
class _Progress:
    """Shows a line at most every second, and only a new one; none of what is done at once."""

    call: Call[Cluster]
    shown: str = ""
    at: float = field(default_factory=time.monotonic)

    def show(self, line: str) -> None:
        now = time.monotonic()
        if line != self.shown and now - self.at >= 1:
            self.shown, self.at = line, now
            self.call.log(line)


def skipped(inputs: Values) -> bool:
    """Whether the object's annotation says not to wait."""
    annotations = string_map_of(map_of(inputs, "metadata"), "annotations")
    return annotations.get(SKIP) == "true"


def seconds(call: Call[Cluster], inputs: Values) -> float:
    """How long a wait may take: as the annotation says, else the program's custom timeout."""
    annotations = string_map_of(map_of(inputs, "metadata"), "annotations")
    own = annotations.get(SECONDS, "")
    if own.isdecimal() and int(own) > 0:
        return float(own)
    # A deadline that is longer than the default is meant to be waited for.
    deadline = whole_of(map_of(inputs, "spec"), "progressDeadlineSeconds")
    return call.timeout or max(_DEFAULT_SECONDS, deadline + _GRACE_SECONDS)


def rolled_out(
    call: Call[Cluster], at: Place, applied: Values, limit: float
) -> tuple[Values, str | None]:
    """Wait for a rollout; the latest state, and why it is not done if it is not."""
    live = applied
    end = time.monotonic() + limit
    progress, looks = _Progress(call), time.monotonic() + _TROUBLE_SECONDS
    trouble: str | None = None
    for live in _states(call, at, applied):
        now = rollout(live)
        if now.done:
            return live, None
        if given_up(live) and given_up(live, _current(call.client.api, at, live)):
            return live, _trouble(call.client.api, at, live)
        if time.monotonic() >= end:
            trouble = _trouble(call.client.api, at, live)
            late = f"not rolled out within {limit:g} s: {now.progress}"
            return live, f"{late}: {trouble}" if trouble else late
        if time.monotonic() >= looks:
            looks = time.monotonic() + _TROUBLE_SECONDS
            trouble = _trouble(call.client.api, at, live)
        why = trouble or now.failure
        progress.show(f"{now.progress}: {why}" if why else now.progress)
    if call.cancelled.is_set():
        return live, "the update was cancelled before it had rolled out"
    return live, "somebody deleted it while it rolled out"


def _states(call: Call[Cluster], at: Place, live: Values) -> Iterator[Values]:
    """The states of what was applied, at least one every slice; ends when it is gone."""
    yield live
    uid, generation, looked = _uid(live), _generation(live), time.monotonic()
    with call.client.watches.following(at.collection, at.name) as follower:
        while not call.cancelled.is_set():
            newer = follower.next(_SLICE_SECONDS)
            # A watch may still tell of what was before.
            if newer is not None and (_uid(newer) != uid or _generation(newer) < generation):
                newer = None
            if newer is None and time.monotonic() - looked >= _LOOK_SECONDS:
                looked = time.monotonic()
                newer = call.client.api.find(at.what, at.path)
                if newer is None or _uid(newer) != uid:
                    return
            live = live if newer is None else newer
            yield live


def _uid(live: Values) -> str:
    return text_of(map_of(live, "metadata"), "uid")


def _generation(live: Values) -> int:
    return whole_of(map_of(live, "metadata"), "generation")


def _trouble(api: Api, at: Place, live: Values) -> str | None:
    """Why the pods are not well, as far as it shows."""
    try:
        return _examined(api, at, live).failure
    except PluginError as error:
        unseen = f"its pods cannot be looked at: {str(error).splitlines()[0]}"
        known = rollout(live).failure
        return f"{known}; {unseen}" if known else unseen


def _current(api: Api, at: Place, live: Values) -> Object | None:
    """The newest replica set; None also where it cannot be seen."""
    try:
        return current_replica_set(live, _replica_sets(api, at, live))
    except PluginError:
        return None


def _replica_sets(api: Api, at: Place, live: Values) -> list[Values]:
    path = f"/apis/apps/v1/namespaces/{at.namespace}/replicasets"
    return maps_of(api.get(at.what, path, **_query(live)), "items")


def _query(live: Values) -> dict[str, str]:
    labels = string_map_of(map_of(map_of(live, "spec"), "selector"), "matchLabels")
    return {"labelSelector": ",".join(f"{key}={value}" for key, value in labels.items())}


def _examined(api: Api, at: Place, live: Values) -> Rollout:
    query = _query(live)
    base = f"/namespaces/{at.namespace}"
    sets = _replica_sets(api, at, live)
    pods = maps_of(api.get(at.what, f"/api/v1{base}/pods", **query), "items")
    unwell = not_ready(current_replica_set(live, sets), pods)
    events: list[Values] = []
    for pod in unwell[:_EVENTS_OF_PODS]:
        own = {"fieldSelector": f"involvedObject.uid={pod['metadata']['uid']}"}
        events += maps_of(api.get(at.what, f"/api/v1{base}/events", **own), "items")
    return rollout(live, sets, pods, events)


def usable(call: Call[Cluster], at: Place) -> None:
    """Wait a moment until a new namespace has its account: pods without one named need it."""
    end = time.monotonic() + _ACCOUNT_SECONDS
    path = f"/api/v1/namespaces/{at.name}/serviceaccounts/default"
    while time.monotonic() < end:
        try:
            if call.client.api.find(at.what, path) is not None:
                return
        except ApiError as error:
            if error.status != FORBIDDEN:
                raise
            return  # who may not look at accounts can do without
        if call.cancelled.wait(0.05):
            return


def gone(call: Call[Cluster], at: Place, uid: str, limit: float) -> None:
    """Wait until the object of that uid is not there any more. Raises PluginError."""
    end = time.monotonic() + limit
    pause = 0.05
    while True:
        live = call.client.api.find(at.what, at.path)
        if live is None or _uid(live) != uid:
            return
        if time.monotonic() >= end:
            raise PluginError(f"{at.what} is still there after {limit:g} s{_held_by(live)}")
        if call.cancelled.wait(pause):
            raise PluginError(f"{at.what} is being deleted; the update was cancelled meanwhile")
        pause = min(pause * 1.5, 1.0)


def _held_by(live: Values) -> str:
    """What keeps a deleted object: its finalizers, and what a namespace says of its own."""
    names = [*texts_of(map_of(live, "metadata"), "finalizers")]
    names += texts_of(map_of(live, "spec"), "finalizers")
    told = [
        text_of(condition, "message")
        for condition in maps_of(map_of(live, "status"), "conditions")
        # What a namespace says that still has something in it.
        if text_of(condition, "status") == "True"
        and text_of(condition, "type").startswith("Namespace")
    ]
    return "".join(
        [f": held by {', '.join(names)}" if names else "", *(f"; {one}" for one in told if one)]
    )
