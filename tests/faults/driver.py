"""A service in a process of its own, so that it can be killed: runs one operation of a fleet.

`python -m tests.faults.driver FOLDER URL OPERATION [SLOT]`. Each event is a line on standard
output; the last line says how it ended.
"""

import sys
from pathlib import Path
from types import SimpleNamespace

from contracts.errors import AgentDockerError
from operations.jobs import Event
from tests.engine.fleets import make_fleet


def main(folder: str, url: str, endpoint: str, operation: str, slot: str = "") -> int:
    cloud = SimpleNamespace(url=url, admin_url=f"{url}/_admin", endpoint_template=endpoint)
    under_test = make_fleet(Path(folder), cloud, on_event=say)  # type: ignore[arg-type]
    fleet = under_test.fleet
    try:
        match operation:
            case "first":
                under_test.deploy(min=2)
            case "grow":
                fleet.resize(3)
            case "shrink":
                fleet.resize(1, victims=[slot])
            case "replace":
                fleet.replace(slot)
            case "destroy":
                fleet.destroy()
            case "recover":
                fleet.recover()
            case _:
                raise ValueError(operation)
    except AgentDockerError as error:
        print(f"ended {type(error).__name__}: {error.message}", flush=True)  # noqa: T201
        return 1
    print("ended well", flush=True)  # noqa: T201 - read by the test
    return 0


def say(event: Event) -> None:
    print(event.model_dump_json(), flush=True)  # noqa: T201 - read by the test


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
