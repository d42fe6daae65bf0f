"""One run of a Pulumi program: its settings, its process, what its exit code says."""

import json
import os
from pathlib import Path

from pulumi.runtime.proto import language_pb2 as proto

from .children import Children
from .interpreters import interpreter_of

# The program's exit code when it has told the user already what is wrong; kept in `child.py` too.
BAIL = 32


def run(request: proto.RunRequest, engine: str, children: Children) -> proto.RunResponse:
    """Run the program and wait for it. Raises NoInterpreterError or OSError if it cannot start.

    Secrets travel in the environment, where the SDK looks for settings, never in the arguments.
    """
    python = interpreter_of(request.info)
    env = {
        **os.environ,
        "PULUMI_CONFIG": json.dumps(dict(request.config)),
        "PULUMI_CONFIG_SECRET_KEYS": json.dumps(list(request.configSecretKeys)),
    }
    child = children.start(
        python.executable,
        ["program", json.dumps(settings_of(request, engine))],
        cwd=request.pwd,
        env=python.activated(env),
    )
    return verdict(children.wait(child))


def settings_of(request: proto.RunRequest, engine: str) -> dict[str, object]:
    """Everything `child.py` needs to set the SDK up, as JSON can hold it."""
    return {
        "program": str(Path(request.info.program_directory, request.info.entry_point)),
        "arguments": list(request.args),
        "runtime": {
            "project": request.project,
            "stack": request.stack,
            "monitor": request.monitor_address,
            "engine": engine,
            "parallel": request.parallel,
            "dry_run": request.dryRun,
            "organization": request.organization,
            "root_directory": request.info.root_directory,
        },
    }


def verdict(code: int) -> proto.RunResponse:
    """Translate an exit code, negative for a signal, into what the engine reports."""
    if code == 0:
        return proto.RunResponse()
    if code == BAIL:
        return proto.RunResponse(bail=True)
    if code < 0:
        return proto.RunResponse(error=f"program was ended by signal {-code}")
    return proto.RunResponse(error=f"program exited with non-zero exit code: {code}")
