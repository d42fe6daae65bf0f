"""The resource type local.Command of pulumi_command 1.2.1."""

from localcloud.plugins.command.shell import Command, run
from localcloud.plugins.model import Call, Found, Made, Old, ResourceType
from localcloud.plugins.shapes import Fields, Refusal
from localcloud.plugins.values import (
    Properties,
    Values,
    flag_of,
    string_map_of,
    text_of,
    texts_of,
)

INPUTS: Fields = {
    "addPreviousOutputInEnv": "boolean",
    "archivePaths": ["string"],
    "assetPaths": ["string"],
    "create": "string",
    "delete": "string",
    "dir": "string",
    "environment": {"*": "string"},
    "interpreter": ["string"],
    "logging": "string",
    "stdin": "string",
    "triggers": ["any"],
    "update": "string",
}
_LOGGING = ("none", "stderr", "stdout", "stdoutAndStderr")
_NOT_DONE = frozenset({"archivePaths", "assetPaths"})
_SHELL = ["/bin/sh", "-c"]


def check(inputs: Properties) -> list[Refusal]:
    """Refuse what this plugin does not do."""
    found = [
        Refusal(name, f"the offline command plugin does not collect files: leave {name} out")
        for name in sorted(_NOT_DONE & set(inputs))
    ]
    logging = text_of(inputs, "logging", _LOGGING[-1])
    if logging not in _LOGGING:
        reason = f"logging is {logging!r}, expected one of {', '.join(_LOGGING)}"
        found.append(Refusal("logging", reason))
    return found


def create(call: Call[None], inputs: Properties) -> Made:
    """Run `create`; when it fails nothing is kept."""
    return Made(call.name, _run(call, text_of(inputs, "create"), inputs))


def read(call: Call[None], old: Old) -> Found | None:
    """Find nothing new: what a command did cannot be asked."""
    del call
    return Found(old.id, {}, {})


def update(call: Call[None], old: Old, inputs: Properties) -> Values:
    """Run `update`, or `create` once more if there is none."""
    command = text_of(inputs, "update") or text_of(inputs, "create")
    return _run(call, command, inputs, old)


def delete(call: Call[None], old: Old) -> None:
    """Run the old state's `delete` with all that belongs to it."""
    words = old.outputs.words | old.inputs.words
    _run(call, text_of(old.outputs, "delete"), Properties(old.outputs, words=words), old)


def _run(call: Call[None], command: str, inputs: Properties, old: Old | None = None) -> Values:
    if not command:
        before = Properties() if old is None else old.outputs
        return {name: text_of(before, name) for name in ("stdout", "stderr")}
    environment = string_map_of(inputs, "environment")
    if old is not None and flag_of(inputs, "addPreviousOutputInEnv", default=True):
        environment["PULUMI_COMMAND_STDOUT"] = text_of(old.outputs, "stdout")
        environment["PULUMI_COMMAND_STDERR"] = text_of(old.outputs, "stderr")
    done = run(
        Command(
            line=command,
            interpreter=tuple(texts_of(inputs, "interpreter") or _SHELL),
            environment=environment,
            stdin=text_of(inputs, "stdin"),
            folder=text_of(inputs, "dir"),
            logging=text_of(inputs, "logging", _LOGGING[-1]),
            secrets=inputs.words,
        ),
        call.log,
        call.cancelled,
    )
    return {"stdout": done.stdout, "stderr": done.stderr}


TYPE = ResourceType[None](
    token="command:local:Command",  # noqa: S106 - a type's name
    inputs=INPUTS,
    create=create,
    read=read,
    update=update,
    delete=delete,
    replaces=frozenset({"triggers"}),
    computed=frozenset({"stderr", "stdout"}),
    secret_with_inputs=frozenset({"stderr", "stdout"}),
    check=check,
)
