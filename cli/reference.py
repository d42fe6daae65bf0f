"""Tables of what a person can set, read and run, made from the code itself. Pure text."""

import ast
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import typer
from pydantic import BaseModel

from cli.app import app
from contracts import outputs
from contracts.errors import AgentDockerError

ROOT = Path(__file__).resolve().parent.parent
_CODE = ("autoscaler", "cli", "components", "contracts", "operations", "providers", "stacks")
# Of fields whose models say it in a docstring or not at all.
_MEANING: Mapping[str, str] = {
    "Slot.name": "Name of the slot; never given out again.",
    "Slot.shard": "Provider process that serves the slot, fixed at birth.",
    "Slot.generation": "Raised to put the slot on another machine.",
    "Slot.revision": "Raised to start the container anew with the current template.",
    "Slot.excludeMachines": "Machine ids that this slot's next rental avoids.",
    "Slot.excludeHosts": "Host ids that this slot's next rental avoids.",
    "SlotSet.slots": "The slots in order of birth.",
    "SlotSet.issued": "How many names were ever given out.",
    "AgentOutput.name": "The agent's name, of its manifest.",
    "AgentOutput.namespace": "Where it runs.",
    "AgentOutput.image": "The image that it runs.",
    "AgentOutput.minReplicas": "Pods, or the least of them.",
    "ServiceOutput.name": "The service's name in the settings.",
    "ServiceOutput.port": "Port that it listens on.",
    "InstanceOutput.slot": "The slot that the machine is in.",
    "InstanceOutput.gpu": "GPU name as Vast.ai spells it.",
    "InstanceOutput.gpuCount": "GPUs of the machine.",
    "InstanceOutput.endpoint": "Where Ollama answers, without a path.",
    "InstanceOutput.image": "Image of the container as it was last started.",
    "InstanceOutput.revision": "The slot's revision that the container runs.",
}
_OUTPUTS: Mapping[str, tuple[str, str]] = {
    outputs.SLOTS: ("SlotSet", "The slots of the update; `desired: auto` starts from them."),
    outputs.INSTANCES: ("list of InstanceOutput", "One record a slot, in the slots' order."),
    outputs.COST_PER_HOUR: ("number", "Sum of the machines' prices, $/h with storage."),
    outputs.OWNER: ("string", "The owner id in the labels of this stack's machines."),
    outputs.PROGRAM: ("string", "Version of the program; an older service refuses to go on."),
    outputs.FENCE: ("whole number", "Number of the lease under which a service last updated."),
    outputs.FLEET: ("document", "The settings `fleet` that the update was made from."),
    outputs.UPDATES: ("whole number", "How many updates the stack has had, this one included."),
    outputs.SERVICES: ("list of ServiceOutput", "One record a service, in the settings' order."),
    outputs.DEPLOYMENTS: ("list of AgentOutput", "One record an agent, in the settings' order."),
    outputs.HELD: ("map of Held", "Services that run another image than the declared one."),
    outputs.TUNNEL: ("string", "Cloudflare's id of the tunnel, where there is an ingress."),
    outputs.HEALTH_PATH: ("string", "Path that answers on each endpoint when it is healthy."),
}
_CODES: Mapping[int, str] = {
    0: "Done.",
    1: "It failed, or what was looked at is not as it should be.",
    2: "Wrong usage or settings, or a name that does not exist; nothing was changed.",
    3: "Another update or command is at work; nothing was changed.",
    4: "Refused: going on could forget, double or destroy a machine that nobody named.",
    5: "Vast.ai failed or refused.",
    6: "agent-router failed or refused.",
    130: "Stopped with Ctrl-C; 128 + n when stopped by signal n.",
}


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    cells = [[cell.replace("|", r"\|").replace("\n", " ") for cell in line] for line in lines]
    return "\n".join(f"| {' | '.join(line)} |" for line in cells)


# Settings and outputs.


def settings_table(model: type[BaseModel], prefix: str) -> str:
    """Every field of a settings `model`; `prefix` is the path at which it stands."""
    schema = model.model_json_schema(by_alias=True)
    required = set(schema.get("required", ()))
    rows = [
        _row(model.__name__, prefix, key, field, asked=key in required)
        for key, field in schema["properties"].items()
    ]
    return table(["key", "type", "default", "bounds", "meaning"], rows)


def record_table(model: type[BaseModel]) -> str:
    """Every field of a record that is only ever read."""
    fields = model.model_json_schema(by_alias=True, mode="serialization")["properties"]
    rows = [
        [f"`{key}`", _type(field), _meaning(model.__name__, key, field)]
        for key, field in fields.items()
    ]
    return table(["field", "type", "meaning"], rows)


def _row(model: str, prefix: str, key: str, field: dict[str, Any], *, asked: bool) -> list[str]:
    default = "required" if asked else _default(field)
    return [
        f"`{prefix}{key}`",
        _type(field),
        default,
        _bounds(field),
        _meaning(model, key, field),
    ]


def _meaning(model: str, key: str, field: dict[str, Any]) -> str:
    return str(field.get("description") or _MEANING[f"{model}.{key}"])


def _default(field: Mapping[str, Any]) -> str:
    # A factory's default is not in the schema: an empty map, or the defaults of a document.
    value = field.get("default", {} if field.get("type") == "object" else "its own")
    if value is None or value in ([], {}):
        return "none"
    if isinstance(value, list | bool):
        return f"`{json.dumps(value)}`".replace('"', "")
    return "its own" if value == "its own" else f"`{value}`"


def _type(field: dict[str, Any]) -> str:
    if "$ref" in field:
        return str(field["$ref"]).rsplit("/", 1)[-1]
    if "anyOf" in field:
        named = [_type(option) for option in field["anyOf"] if option.get("type") != "null"]
        return " or ".join(named)
    if "const" in field:
        return f"`{field['const']}`"
    kind = str(field.get("type", "any"))
    if kind == "array":
        return f"list of {_type(field.get('items', {}))}s"
    words = {"object": "map of strings", "integer": "whole number", "boolean": "true or false"}
    return words.get(kind, kind)


def _bounds(field: dict[str, Any]) -> str:
    signs = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    found = [f"{sign} {field[name]:g}" for name, sign in signs.items() if name in field]
    found += [f"≥ {field['minLength']} characters"] if "minLength" in field else []
    found += [f"`{field['pattern']}`"] if "pattern" in field else []
    nested = [*field.get("anyOf", ()), *([field["items"]] if "items" in field else [])]
    found += [text for option in nested if (text := _bounds(option))]
    return ", ".join(found)


def outputs_table(names: Iterable[str]) -> str:
    """The outputs of those names."""
    rows = [[f"`{name}`", *_OUTPUTS[name]] for name in names]
    return table(["output", "type", "meaning"], rows)


# Commands and exit codes.


def commands() -> Iterator[tuple[str, Any]]:
    """Every command by its full name, groups left out."""
    yield from _walk("agent-docker", typer.main.get_command(app))


def _walk(name: str, command: Any) -> Iterator[tuple[str, Any]]:  # noqa: ANN401 - typer's tree
    children: Mapping[str, Any] = getattr(command, "commands", {})
    for word, child in children.items():
        yield from _walk(f"{name} {word}", child)
    if not children:
        yield name, command


def commands_text() -> str:
    """A section for each command."""
    return "\n\n".join(_command(name, command) for name, command in commands())


def _command(name: str, command: Any) -> str:  # noqa: ANN401 - typer's tree
    params = [p for p in command.params if p.name != "help"]
    arguments = [p for p in params if p.param_type_name == "argument"]
    options = [p for p in params if p.param_type_name == "option"]
    usage = " ".join([name, *(["[OPTIONS]"] if options else []), *map(_metavar, arguments)])
    rows = [[f"`{_metavar(p)}`", "", _help(p)] for p in arguments]
    rows += [[f"`{_flag(p)}`", _option_default(p), _help(p)] for p in options]
    text = [f"### {name}", f"`{usage}`", str(command.help)]
    return "\n\n".join([*text, *([table(["", "default", "meaning"], rows)] if rows else [])])


def _metavar(param: Any) -> str:  # noqa: ANN401 - typer's tree
    return str(param.metavar or param.name.upper())


def _flag(param: Any) -> str:  # noqa: ANN401 - typer's tree
    return str(param.opts[0]) if param.is_flag else f"{param.opts[0]} {_metavar(param)}"


def _option_default(param: Any) -> str:  # noqa: ANN401 - typer's tree
    return "" if param.default is None or param.default is False else f"`{param.default}`"


def _help(param: Any) -> str:  # noqa: ANN401 - typer's tree
    bounds = [f"≥ {param.min}"] if param.min is not None else []
    bounds += [f"≤ {param.max}"] if param.max is not None else []
    text = str(param.help) + (f" ({', '.join(bounds)})" if bounds else "")
    return f"{text} Also by `{param.envvar}=1`." if param.envvar else text


def error_codes(root: Path = ROOT) -> dict[str, int]:
    """The exit code of every error class of ours, read from the source: nothing is imported."""
    bases, codes = {"AgentDockerError": ""}, {"AgentDockerError": AgentDockerError.exit_code}
    for path in sorted(root.glob("[a-z]*/**/*.py")):
        if path.relative_to(root).parts[0] in _CODE:
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.ClassDef) and node.bases:
                    bases[node.name] = ast.unparse(node.bases[0])
                    codes.update(_exit_code(node))
    chains = {name: list(_chain(name, bases)) for name in bases}
    ours = {name: chain for name, chain in chains.items() if "AgentDockerError" in chain}
    return {name: next(codes[c] for c in chain if c in codes) for name, chain in ours.items()}


def _exit_code(node: ast.ClassDef) -> dict[str, int]:
    """The class's own exit code by its name; empty when it takes its base's."""
    for line in node.body:
        if isinstance(line, ast.Assign) and ast.unparse(line.targets[0]) == "exit_code":
            return {node.name: int(ast.literal_eval(line.value))}
    return {}


def _chain(name: str, bases: Mapping[str, str]) -> Iterator[str]:
    while name in bases:
        yield name
        name = bases[name]


def codes_table() -> str:
    """Every exit code, and the errors behind it."""
    by_code: dict[int, list[str]] = {code: [] for code in _CODES}
    for name, code in sorted(error_codes().items()):
        by_code[code].append(f"`{name}`")
    rows = [[f"`{code}`", text, ", ".join(by_code[code])] for code, text in _CODES.items()]
    return table(["code", "meaning", "errors"], rows)
