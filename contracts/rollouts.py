"""How far a Deployment's rollout is, and in one line why it is stuck.

Over objects as the Kubernetes API has them, so that whoever asks the API decides the same: the
offline plugin while it waits, and the commands that show how agents are.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

Object: TypeAlias = Mapping[str, Any]
Reason = Literal[
    "config", "crash", "deadline", "forbidden", "image", "probe", "quota", "unschedulable"
]

_REVISION = "deployment.kubernetes.io/revision"
_IMAGE: Final = frozenset(
    {"ErrImageNeverPull", "ErrImagePull", "ImageInspectError", "ImagePullBackOff"}
    | {"InvalidImageName", "RegistryUnavailable"}
)
_CONFIG: Final = frozenset(
    {"CreateContainerConfigError", "CreateContainerError", "RunContainerError"}
)
_NOTHING: Final[Object] = {}
# One line of a terminal; what the API says may be a page.
_LONGEST = 400


@dataclass(frozen=True)
class Rollout:
    """Where a rollout is; `failure` says why its pods are not well, once something shows why.

    A failure need not be final: see `given_up`.
    """

    done: bool
    progress: str
    failure: str | None = None
    reason: Reason | None = None


@dataclass(frozen=True)
class _Trouble:
    reason: Reason
    text: str


def rollout(
    deployment: Object,
    replica_sets: Iterable[Object] = (),
    pods: Iterable[Object] = (),
    events: Iterable[Object] = (),
) -> Rollout:
    """Judge a Deployment as `kubectl rollout status` does.

    Its replica sets, their pods and these pods' events are needed only to say what is wrong; of
    all that are given, those count that belong to the newest revision.
    """
    done, progress = _progress(deployment)
    if done:
        return Rollout(done=True, progress=progress)
    current = current_replica_set(deployment, replica_sets)
    final = given_up(deployment, current)
    found = _pods_trouble(_owned(pods, current), list(events), final=final)
    found = found or _replicas_trouble(deployment) or (_deadline(deployment) if final else None)
    if found is None:
        return Rollout(done=False, progress=progress)
    return Rollout(done=False, progress=progress, failure=_line(found.text), reason=found.reason)


def given_up(deployment: Object, replica_set: Object | None = None) -> bool:
    """Whether the controller has given this generation up: its progress deadline has passed.

    With the newest `replica_set`, whether it is that one which it has given up: after a way back
    it tells of the one before for a moment.
    """
    told = _condition(deployment, "Progressing")
    if not _observed(deployment) or told.get("status") != "False":
        return False
    message = str(told.get("message", ""))
    named = message.startswith("ReplicaSet ") and replica_set is not None
    return not named or f'"{_name(replica_set)}"' in message


def current_replica_set(deployment: Object, replica_sets: Iterable[Object]) -> Object | None:
    """The one of the newest revision; None while there is none."""
    metadata = deployment["metadata"]
    revision = metadata.get("annotations", {}).get(_REVISION)
    for one in replica_sets:
        owners = {owner.get("uid") for owner in one["metadata"].get("ownerReferences", [])}
        annotations = one["metadata"].get("annotations", {})
        if metadata.get("uid") in owners and annotations.get(_REVISION) == revision:
            return one
    return None


def not_ready(replica_set: Object | None, pods: Iterable[Object]) -> list[Object]:
    """Pods of that replica set that are neither ready nor going, by name."""
    return [pod for pod in _owned(pods, replica_set) if not _ready(pod)]


def _progress(deployment: Object) -> tuple[bool, str]:
    spec, status = deployment["spec"], deployment.get("status", {})
    want = spec.get("replicas", 1)
    updated, available = status.get("updatedReplicas", 0), status.get("availableReplicas", 0)
    old = status.get("replicas", 0) - updated
    if not _observed(deployment):
        return False, "the controller has not seen it yet"
    if spec.get("paused"):
        return True, "paused"
    if updated < want:
        return False, f"{updated} of {want} started"
    if old > 0:
        return False, f"{available} of {want} ready, {old} of the older to end"
    return available >= want, f"{min(available, want)} of {want} ready"


def _name(replica_set: Object | None) -> str:
    return "" if replica_set is None else str(replica_set["metadata"]["name"])


def _observed(deployment: Object) -> bool:
    seen: int = deployment.get("status", {}).get("observedGeneration", 0)
    return bool(seen >= deployment["metadata"].get("generation", 0))


def _condition(thing: Object, kind: str) -> Object:
    conditions: list[Object] = thing.get("status", {}).get("conditions", [])
    return next((one for one in conditions if one["type"] == kind), _NOTHING)


def _owned(pods: Iterable[Object], replica_set: Object | None) -> list[Object]:
    if replica_set is None:
        return []
    uid = replica_set["metadata"]["uid"]
    found = [
        pod
        for pod in pods
        if any(owner.get("uid") == uid for owner in pod["metadata"].get("ownerReferences", []))
        and "deletionTimestamp" not in pod["metadata"]
    ]
    return sorted(found, key=lambda pod: str(pod["metadata"]["name"]))


def _ready(pod: Object) -> bool:
    return _condition(pod, "Ready").get("status") == "True"


def _pods_trouble(pods: list[Object], events: list[Object], *, final: bool) -> _Trouble | None:
    for pod in pods:
        if _ready(pod):
            continue
        own = _warnings(pod, events)
        unwell = own[-1]["reason"] == "Unhealthy" if own else False
        found = _pod_trouble(pod, unwell=unwell or final)
        if found is not None:
            last = f"; last event: {own[-1]['reason']}: {own[-1].get('message', '')}" if own else ""
            return _Trouble(found.reason, found.text + last)
    return None


def _warnings(pod: Object, events: Iterable[Object]) -> list[Object]:
    """The pod's own, the newest last."""
    uid = pod["metadata"]["uid"]
    own = [
        event
        for event in events
        if event["involvedObject"].get("uid") == uid and event.get("type") == "Warning"
    ]
    return sorted(own, key=lambda event: str(event.get("lastTimestamp") or event.get("eventTime")))


def _pod_trouble(pod: Object, *, unwell: bool) -> _Trouble | None:
    name = pod["metadata"]["name"]
    scheduled = _condition(pod, "PodScheduled")
    if scheduled.get("reason") == "Unschedulable":
        text = f"pod {name} fits on no node: {scheduled.get('message', '')}"
        return _Trouble("unschedulable", text)
    found = [_container_trouble(name, one) for one in _containers(pod)]
    first = next((one for one in found if one is not None), None)
    running = any("running" in one.get("state", {}) for one in _containers(pod))
    if first is None and running and unwell:
        return _Trouble("probe", f"pod {name} runs, but its probe does not pass")
    return first


def _containers(pod: Object) -> Iterator[Object]:
    status = pod.get("status", {})
    for kind in ("initContainerStatuses", "containerStatuses"):
        yield from (one for one in status.get(kind, []) if not one.get("ready"))


def _container_trouble(pod: str, container: Object) -> _Trouble | None:
    who = f"container {container['name']} of pod {pod}"
    state: Object = container.get("state", {})
    waiting: Object = state.get("waiting", {})
    why, message = waiting.get("reason"), waiting.get("message", "")
    if why in _IMAGE:
        return _Trouble(
            "image", f"{who} cannot pull the image {container['image']}: {why}: {message}"
        )
    if why in _CONFIG:
        return _Trouble("config", f"{who} cannot be started: {why}: {message}")
    ended = state.get("terminated") or container.get("lastState", {}).get("terminated")
    if ended is None or (not ended.get("exitCode") and why != "CrashLoopBackOff"):
        return None
    return _Trouble(
        "crash",
        f"{who} ends with exit code {ended.get('exitCode', 0)}"
        f" ({ended.get('reason', 'Error')}), {container.get('restartCount', 0)} restarts",
    )


def _replicas_trouble(deployment: Object) -> _Trouble | None:
    """Why the replica set's controller may not make pods."""
    failed = _condition(deployment, "ReplicaFailure")
    if failed.get("status") != "True":
        return None
    message = str(failed.get("message", ""))
    reason: Reason = "quota" if "exceeded quota" in message else "forbidden"
    return _Trouble(reason, f"pods cannot be created: {message}")


def _deadline(deployment: Object) -> _Trouble:
    return _Trouble("deadline", _condition(deployment, "Progressing").get("message", "no progress"))


def _line(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
