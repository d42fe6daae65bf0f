"""The cluster itself, read: what an agent's pods do and say, and whose a namespace is."""

import codecs
import json
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

from operations.errors import OperationError

Object = Mapping[str, Any]
_SECONDS = (5.0, 30.0)
_NOT_FOUND = 404


class ClusterError(OperationError):
    """The cluster does not answer, or does not let us do that."""


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """One cluster by the path of its kubeconfig; nothing of the shell is read."""

    kubeconfig: str
    context: str | None = None

    def namespace(self, name: str) -> Object | None:
        """The namespace of that name, None when there is none."""
        from kubernetes.client import ApiException  # noqa: PLC0415 - 0.3 s, and only here

        with self._answering():
            try:
                return self._read(self._core.read_namespace, name)
            except ApiException as error:
                if error.status == _NOT_FOUND:
                    return None
                raise

    def policies(self, namespace: str) -> set[str]:
        """The names of a namespace's NetworkPolicies."""
        return set(map(_name, self._list(self._network.list_namespaced_network_policy, namespace)))

    def left_in(self, namespace: str) -> list[str]:
        """What would go with a namespace: workloads, pods, Secrets and claims of whoever."""
        calls = {
            "Deployment": self._apps.list_namespaced_deployment,
            "StatefulSet": self._apps.list_namespaced_stateful_set,
            "Pod": self._core.list_namespaced_pod,
            "Secret": self._core.list_namespaced_secret,
            "PersistentVolumeClaim": self._core.list_namespaced_persistent_volume_claim,
        }
        return [
            f"{kind} {_name(one)}"
            for kind, call in calls.items()
            for one in self._list(call, namespace)
        ]

    def deployments(self, selector: str, namespace: str | None = None) -> list[Object]:
        """The Deployments with these labels, of one namespace or of all."""
        if namespace is None:
            everywhere = self._apps.list_deployment_for_all_namespaces
            return self._list(everywhere, label_selector=selector)
        within = self._apps.list_namespaced_deployment
        return self._list(within, namespace, label_selector=selector)

    def replica_sets(self, namespace: str, app: str) -> list[Object]:
        """The ReplicaSets of one agent."""
        call = self._apps.list_namespaced_replica_set
        return self._list(call, namespace, label_selector=f"app={app}")

    def pods(self, namespace: str, app: str) -> list[Object]:
        """The pods of one agent."""
        return self._list(self._core.list_namespaced_pod, namespace, label_selector=f"app={app}")

    def events(self, namespace: str) -> list[Object]:
        """What has happened in a namespace of late."""
        return self._list(self._core.list_namespaced_event, namespace)

    def logs(self, namespace: str, pod: str, *, tail: int, follow: bool = False) -> Iterator[str]:
        """What a pod wrote last, in parts; with `follow` it goes on as it writes."""
        with self._answering():
            response = self._core.read_namespaced_pod_log(
                pod,
                namespace,
                tail_lines=tail,
                follow=follow,
                _preload_content=False,
                _request_timeout=None if follow else _SECONDS,
            )
            # A character may lie across two parts.
            decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
            for part in response.stream(decode_content=True):
                yield decoder.decode(part)

    def _list(self, call: Callable[..., Any], *arguments: str, **query: str) -> list[Object]:
        with self._answering():
            return list(self._read(call, *arguments, **query).get("items") or [])

    def _read(self, call: Callable[..., Any], *arguments: str, **query: str) -> Object:
        response = call(*arguments, **query, _preload_content=False, _request_timeout=_SECONDS)
        found: Object = json.loads(response.data)
        return found

    @cached_property
    def _core(self) -> Any:  # noqa: ANN401 - the client has no types
        from kubernetes.client import CoreV1Api  # noqa: PLC0415 - 0.3 s, and only here

        return CoreV1Api(self._client)

    @cached_property
    def _apps(self) -> Any:  # noqa: ANN401 - likewise
        from kubernetes.client import AppsV1Api  # noqa: PLC0415 - 0.3 s, and only here

        return AppsV1Api(self._client)

    @cached_property
    def _network(self) -> Any:  # noqa: ANN401 - likewise
        from kubernetes.client import NetworkingV1Api  # noqa: PLC0415 - 0.3 s, and only here

        return NetworkingV1Api(self._client)

    @cached_property
    def _client(self) -> Any:  # noqa: ANN401 - likewise
        from kubernetes import config  # noqa: PLC0415 - 0.3 s, and only here

        load = cast("Callable[..., Any]", config.new_client_from_config)
        try:
            return load(config_file=self.kubeconfig, context=self.context, persist_config=False)
        except Exception as error:  # noqa: BLE001 - of whatever else than a kubeconfig it is
            said = str(error) if isinstance(error, config.ConfigException) else "it is none"
            raise ClusterError(
                f"the kubeconfig {self.kubeconfig} cannot be used: {said}",
                hint="name another one with --kubeconfig",
            ) from None

    @contextmanager
    def _answering(self) -> Generator[None]:
        from kubernetes.client import ApiException  # noqa: PLC0415 - 0.3 s, and only here
        from urllib3.exceptions import HTTPError  # noqa: PLC0415 - with it

        server = str(self._client.configuration.host)
        try:
            yield
        except ApiException as error:
            raise ClusterError(_told(error, server)) from None
        except HTTPError as error:
            reason = getattr(error, "reason", None) or error
            raise ClusterError(
                f"the cluster at {server} does not answer: {reason}",
                hint="is it up, and is it the one that was meant? see --kubeconfig and --context",
            ) from None


def _name(thing: Object) -> str:
    return str(thing["metadata"]["name"])


def _told(error: Any, server: str) -> str:  # noqa: ANN401 - the client has no types
    try:
        message = str(json.loads(error.body)["message"])
    except (TypeError, ValueError, KeyError):
        message = str(error.reason)
    return f"the cluster at {server} refused ({error.status}): {message}"
