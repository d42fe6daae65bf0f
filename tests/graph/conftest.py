"""Pulumi mocks that refuse what they were not told to expect."""

import asyncio
import contextvars
import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import pulumi
import pytest
from google.protobuf.json_format import MessageToDict
from pulumi.runtime import mocks
from pulumi.runtime.stack import run_pulumi_func

from contracts.program import INSTANCE_TYPE

FLEET_TYPE = "agent-docker:gpu:GpuFleet"
PROVIDER_TYPE = "pulumi:providers:pulumi-python"
REFERENCE_TYPE = "pulumi:pulumi:StackReference"

Json = dict[str, Any]


@dataclass
class Resource:
    """One registration as the engine received it."""

    type: str
    name: str
    parent: str
    provider: str
    inputs: Json
    delete_before_replace: bool
    retain_on_delete: bool = False
    import_id: str = ""
    ignore_changes: tuple[str, ...] = ()
    replace_on_changes: tuple[str, ...] = ()
    dependencies: tuple[str, ...] = ()
    # Of a create and of an update.
    timeouts: tuple[str, str] = ("", "")


class Cloud(mocks.Mocks):
    """Rents a machine for each instance; any other type is a mistake."""

    def __init__(self, last: Json) -> None:
        self.last = last
        self.contracts = iter(range(501, 600))

    def new_resource(self, args: mocks.MockResourceArgs) -> tuple[str, Json]:
        if args.typ == INSTANCE_TYPE:
            contract = next(self.contracts)
            rented = {"contract": contract, "machine": contract - 400, "host": 7}
            known = rented | {"status": "loading", "cost_per_hour": 0.4, "hostname": "h"}
            return str(contract), args.inputs | known | {"endpoint": "http://as-created"}
        if args.typ == REFERENCE_TYPE:
            return "reference", {"name": args.name, "outputs": self.last, "secretOutputNames": []}
        if args.typ in {FLEET_TYPE, PROVIDER_TYPE}:
            return args.name, {}
        raise AssertionError(f"unexpected resource {args.typ} {args.name}")

    def call(self, args: mocks.MockCallArgs) -> tuple[Json, None]:
        raise AssertionError(f"unexpected call {args.token}")


class Recorder(mocks.MockMonitor):
    """Notes registrations, which mocks do not show whole."""

    def __init__(self, cloud: mocks.Mocks) -> None:
        super().__init__(cloud)
        self.seen: list[Resource] = []
        self.outputs: dict[str, Json] = {}

    def RegisterResource(self, request: Any) -> Any:  # noqa: ANN401, N802 - the monitor's own
        if request.type != "pulumi:pulumi:Stack":
            self.seen.append(
                Resource(
                    type=request.type,
                    name=request.name,
                    parent=request.parent.split("::")[-1],
                    provider=request.provider.split("::")[-2] if request.provider else "",
                    inputs=MessageToDict(request.object),
                    delete_before_replace=request.deleteBeforeReplace,
                    retain_on_delete=request.retainOnDelete,
                    import_id=request.importId,
                    ignore_changes=tuple(request.ignoreChanges),
                    replace_on_changes=tuple(request.replaceOnChanges),
                    dependencies=tuple(urn.split("::")[-1] for urn in request.dependencies),
                    timeouts=(request.customTimeouts.create, request.customTimeouts.update),
                )
            )
        return super().RegisterResource(request)

    def RegisterResourceOutputs(self, request: Any) -> Any:  # noqa: ANN401, N802 - as above
        self.outputs[request.urn.split("::")[-1]] = MessageToDict(request.outputs)
        return super().RegisterResourceOutputs(request)


@dataclass
class Graph:
    """What a program registered and exported."""

    config: Json = field(default_factory=dict)
    last: Json = field(default_factory=dict)
    stack: str = "gpu"
    cloud: Callable[[Json], mocks.Mocks] = Cloud
    secret: tuple[str, ...] = ()
    seen: list[Resource] = field(default_factory=list)
    registered: dict[str, Json] = field(default_factory=dict)
    exports: Json = field(default_factory=dict)

    def run(self, program: Callable[[], None]) -> Json:
        """The program's exports, resolved."""
        recorder = Recorder(self.cloud(self.last))
        text = {k: v if isinstance(v, str) else json.dumps(v) for k, v in self.config.items()}
        whole = {f"agent-docker:{k}": v for k, v in text.items()}

        def configured() -> None:
            pulumi.runtime.set_all_config(whole, [f"agent-docker:{k}" for k in self.secret])
            program()

        try:
            return under(recorder, configured, stack=self.stack)
        finally:
            self.seen, self.registered = recorder.seen, recorder.outputs

    def of(self, type_: str) -> list[Resource]:
        return sorted((r for r in self.seen if r.type == type_), key=lambda r: r.name)


def under(monitor: mocks.MockMonitor, program: Callable[[], None], *, stack: str = "gpu") -> Json:
    """What `program` exports, resolved, when `monitor` is the engine it speaks to."""
    loops: list[asyncio.AbstractEventLoop] = []
    exports: Json = {}

    def with_loop() -> None:
        # The mocks leave the loops open that they make in their threads; ours are closed.
        loops.append(asyncio.new_event_loop())
        asyncio.set_event_loop(loops[-1])

    async def main() -> None:
        workers = ThreadPoolExecutor(initializer=with_loop)
        asyncio.get_running_loop().set_default_executor(workers)
        pulumi.runtime.reset_options()
        pulumi.runtime.set_mocks(
            monitor.mocks,
            project="agent-docker",
            stack=stack,
            preview=False,
            monitor=monitor,
            organization="organization",
        )
        await run_pulumi_func(program)
        for name, value in pulumi.runtime.get_root_resource().outputs.items():
            exports[name] = await pulumi.Output.from_input(value).future()

    try:
        contextvars.copy_context().run(asyncio.run, main())
    finally:
        for loop in loops:
            loop.close()
    return exports


@pytest.fixture
def graph() -> Iterator[Graph]:
    return Graph()
