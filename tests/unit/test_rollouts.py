"""When a Deployment has rolled out, and what is said of one that does not."""

from typing import Any

import pytest

from contracts.rollouts import (
    Reason,
    Rollout,
    current_replica_set,
    given_up,
    not_ready,
    rollout,
)

Object = dict[str, Any]
DEADLINE = {
    "type": "Progressing",
    "status": "False",
    "reason": "ProgressDeadlineExceeded",
    "message": 'ReplicaSet "rs-2" has timed out progressing.',
}


def deployment(
    want: int | None = 3,
    /,
    *,
    conditions: tuple[Object, ...] = (),
    paused: bool = False,
    **status: int,
) -> Object:
    spec: Object = {"paused": True} if paused else {}
    if want is not None:
        spec["replicas"] = want
    return {
        "metadata": {
            "name": "web",
            "uid": "d-1",
            "generation": 2,
            "annotations": {"deployment.kubernetes.io/revision": "2"},
        },
        "spec": spec,
        "status": {"observedGeneration": 2, **status, "conditions": list(conditions)},
    }


def replica_set(uid: str = "rs-2", revision: str = "2", owner: str = "d-1") -> Object:
    return {
        "metadata": {
            "name": uid,
            "uid": uid,
            "annotations": {"deployment.kubernetes.io/revision": revision},
            "ownerReferences": [{"uid": owner}],
        }
    }


def pod(
    name: str = "web-a",
    *containers: Object,
    owner: str = "rs-2",
    ready: bool = False,
    conditions: tuple[Object, ...] = (),
    **metadata: str,
) -> Object:
    answer = {"type": "Ready", "status": "True" if ready else "False"}
    return {
        "metadata": {"name": name, "uid": name, "ownerReferences": [{"uid": owner}], **metadata},
        "status": {"conditions": [answer, *conditions], "containerStatuses": list(containers)},
    }


def container(state: Object, **more: Any) -> Object:  # noqa: ANN401 - an object's fields
    return {"name": "agent", "image": "img:1", "ready": False, "state": state, **more}


def waiting(reason: str, message: str = "as it says", **more: Any) -> Object:  # noqa: ANN401
    return container({"waiting": {"reason": reason, "message": message}}, **more)


def event(about: str, reason: str, message: str, kind: str = "Warning", at: str = "1") -> Object:
    return {
        "involvedObject": {"uid": about},
        "type": kind,
        "reason": reason,
        "message": message,
        "lastTimestamp": at,
    }


def stuck(pods: list[Object], events: list[Object] = [], *, final: bool = False) -> Rollout:  # noqa: B006
    conditions = (DEADLINE,) if final else ()
    return rollout(deployment(conditions=conditions), [replica_set()], pods, events)


@pytest.mark.parametrize(
    ("given", "done", "progress"),
    [
        (deployment(observedGeneration=1), False, "the controller has not seen it yet"),
        (deployment(), False, "0 of 3 started"),
        (deployment(updatedReplicas=2, replicas=4), False, "2 of 3 started"),
        (
            deployment(updatedReplicas=3, replicas=4, availableReplicas=3),
            False,
            "3 of 3 ready, 1 of the older to end",
        ),
        (
            deployment(updatedReplicas=3, replicas=3, availableReplicas=2),
            False,
            "2 of 3 ready",
        ),
        (deployment(updatedReplicas=3, replicas=3, availableReplicas=3), True, "3 of 3 ready"),
        (deployment(0), True, "0 of 0 ready"),
        (
            deployment(None, updatedReplicas=1, replicas=1, availableReplicas=1),
            True,
            "1 of 1 ready",
        ),
        (deployment(paused=True), True, "paused"),
    ],
)
def test_progress_is_as_kubectl_tells_it(given: Object, done: bool, progress: str) -> None:  # noqa: FBT001
    assert rollout(given) == Rollout(done=done, progress=progress)


def test_an_object_without_status_has_not_been_seen() -> None:
    new = {"metadata": {"name": "web", "generation": 1}, "spec": {"replicas": 1}}
    assert rollout(new) == Rollout(done=False, progress="the controller has not seen it yet")
    assert not given_up(new)


def test_only_a_deadline_of_this_generation_counts() -> None:
    assert given_up(deployment(conditions=(DEADLINE,)))
    assert not given_up(deployment(conditions=(DEADLINE,), observedGeneration=1))
    assert not given_up(deployment(conditions=({"type": "Progressing", "status": "True"},)))


def test_what_was_given_up_before_the_way_back_is_no_failure() -> None:
    told = deployment(1, conditions=(DEADLINE,), updatedReplicas=1, replicas=2)
    assert given_up(told)
    assert given_up(told, replica_set("rs-2"))
    assert not given_up(told, replica_set("rs-1"))
    other = {**DEADLINE, "message": "as another controller puts it"}
    assert given_up(deployment(1, conditions=(other,)), replica_set("rs-1"))
    seen = rollout(told, [replica_set("rs-1", revision="2")])
    assert (seen.done, seen.failure) == (False, None)


def test_the_newest_replica_set_is_the_deployments_own() -> None:
    sets = [
        replica_set("rs-1", "1"),
        replica_set("other", "2", owner="d-9"),
        {"metadata": {"uid": "free"}},
        replica_set("rs-2", "2"),
    ]
    found = current_replica_set(deployment(), sets)
    assert found is not None
    assert found["metadata"]["uid"] == "rs-2"
    assert current_replica_set(deployment(), sets[:3]) is None


def test_pods_that_count_are_of_the_newest_set_and_stay() -> None:
    pods = [
        pod("web-b"),
        pod("web-a"),
        pod("well", ready=True),
        pod("old", owner="rs-1"),
        pod("going", deletionTimestamp="now"),
        {"metadata": {"name": "free", "uid": "free"}},
    ]
    names = [one["metadata"]["name"] for one in not_ready(replica_set(), pods)]
    assert names == ["web-a", "web-b"]
    assert not_ready(None, pods) == []


@pytest.mark.parametrize(
    ("status", "reason", "text"),
    [
        (
            waiting("ImagePullBackOff", "Back-off\n  pulling"),
            "image",
            (
                "container agent of pod web-a cannot pull the image img:1:"
                " ImagePullBackOff: Back-off pulling"
            ),
        ),
        (
            waiting("CreateContainerConfigError", 'secret "s" not found'),
            "config",
            (
                "container agent of pod web-a cannot be started:"
                ' CreateContainerConfigError: secret "s" not found'
            ),
        ),
        (
            waiting(
                "CrashLoopBackOff",
                restartCount=4,
                lastState={"terminated": {"exitCode": 137, "reason": "OOMKilled"}},
            ),
            "crash",
            "container agent of pod web-a ends with exit code 137 (OOMKilled), 4 restarts",
        ),
        (
            waiting("CrashLoopBackOff", restartCount=2, lastState={"terminated": {"exitCode": 0}}),
            "crash",
            "container agent of pod web-a ends with exit code 0 (Error), 2 restarts",
        ),
        (
            container({"terminated": {"exitCode": 2, "reason": "Error"}}),
            "crash",
            "container agent of pod web-a ends with exit code 2 (Error), 0 restarts",
        ),
    ],
)
def test_what_is_wrong_with_a_container(status: Object, reason: Reason, text: str) -> None:
    found = stuck([pod("a-well", ready=True), pod("web-a", status)])
    assert (found.reason, found.failure) == (reason, text)
    assert not found.done
    assert found.progress == "0 of 3 started"


def test_an_init_container_is_looked_at_first() -> None:
    given = pod("web-a", waiting("PodInitializing"))
    given["status"]["initContainerStatuses"] = [waiting("ErrImagePull", name="setup")]
    found = stuck([given])
    assert found.failure is not None
    assert found.failure.startswith("container setup of pod web-a cannot pull the image")


def test_a_container_that_is_starting_is_no_failure() -> None:
    starting = pod("web-a", waiting("ContainerCreating"))
    ended = pod("web-b", container({"terminated": {"exitCode": 0}}))
    ready = pod("web-c", {**container({"running": {}}), "ready": True})
    nothing = {**pod("web-d"), "status": {}}
    assert stuck([starting, ended, ready, nothing]).failure is None


def test_a_probe_is_named_once_it_failed_or_when_the_time_is_over() -> None:
    running = pod("web-a", container({"running": {}}))
    assert stuck([running]).failure is None
    events = [
        event("web-a", "Unhealthy", "Readiness probe failed: 503", at="2"),
        event("web-a", "BackOff", "an earlier one", at="1"),
        event("web-a", "Pulled", "no warning", kind="Normal", at="3"),
        event("web-b", "Unhealthy", "another pod's", at="4"),
    ]
    found = stuck([running], events)
    assert (found.reason, found.failure) == (
        "probe",
        (
            "pod web-a runs, but its probe does not pass;"
            " last event: Unhealthy: Readiness probe failed: 503"
        ),
    )
    silent = stuck([running], final=True)
    assert (silent.reason, silent.failure) == (
        "probe",
        "pod web-a runs, but its probe does not pass",
    )


def test_a_pod_that_fits_nowhere() -> None:
    condition = {
        "type": "PodScheduled",
        "status": "False",
        "reason": "Unschedulable",
        "message": "0/3 nodes are available: 3 Insufficient cpu.",
    }
    found = stuck([pod("web-a", conditions=(condition,))])
    assert (found.reason, found.failure) == (
        "unschedulable",
        "pod web-a fits on no node: 0/3 nodes are available: 3 Insufficient cpu.",
    )


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ('pods "web-1" is forbidden: exceeded quota: small, requested: pods=1', "quota"),
        ('pods "web-1" is forbidden: violates PodSecurity "restricted:latest"', "forbidden"),
    ],
)
def test_pods_that_may_not_be_made(message: str, reason: Reason) -> None:
    failed = {"type": "ReplicaFailure", "status": "True", "message": message}
    found = rollout(deployment(conditions=(failed,)))
    assert (found.reason, found.failure) == (reason, f"pods cannot be created: {message}")
    over = {**failed, "status": "False"}
    assert rollout(deployment(conditions=(over,))).failure is None


def test_a_deadline_without_any_other_reason() -> None:
    found = rollout(deployment(conditions=(DEADLINE,)))
    assert (found.reason, found.failure) == ("deadline", DEADLINE["message"])


def test_a_page_becomes_one_line() -> None:
    found = stuck([pod("web-a", waiting("ErrImagePull", "x\n" * 1000))])
    assert found.failure is not None
    assert len(found.failure) == 400
    assert found.failure.endswith("…")
    assert "\n" not in found.failure
