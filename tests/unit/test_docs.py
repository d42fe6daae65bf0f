"""The documentation is true: generated parts are fresh, and what it names exists."""

import ast
import json
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from pydantic import BaseModel

from cli import documentation, reference
from cli.app import app
from contracts import outputs
from contracts.errors import AgentDockerError
from contracts.fleet import FleetSettings, Selection
from contracts.outputs import InstanceOutput
from contracts.program import recover_command
from contracts.slots import UNCLEAR, Slot, SlotSet

ROOT = reference.ROOT
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
IDS = [page.relative_to(ROOT).as_posix() for page in PAGES]
CODE = (
    "autoscaler",
    "cli",
    "components",
    "contracts",
    "localcloud",
    "operations",
    "providers",
    "stacks",
    "tools",
)
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SPAN = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
TARGET = re.compile(r"^([a-z][a-z-]*):", re.MULTILINE)
VARIABLE = re.compile(r"(AGENT_DOCKER|VAST|VASTAI|TAILSCALE|LOCALCLOUD)_[A-Z_]*[A-Z]")
# What Pulumi itself says; it is in no source of ours.
FROM_PULUMI = {"the stack is currently locked by", "incorrect passphrase"}
FROM_PYDANTIC = {"Input should be a valid integer", "Input should be greater than 0"}
PULUMI_COMMANDS = {"preview", "up", "refresh", "destroy", "cancel", "login", "stack", "config"}
SHELL = {"make", "agent-docker", "pulumi", "export"}


def blocks(page: Path) -> list[tuple[str, str]]:
    return FENCE.findall(page.read_text())


def prose(page: Path) -> str:
    return FENCE.sub("", page.read_text())


def spans(page: Path) -> list[str]:
    return SPAN.findall(prose(page))


def shell_lines(page: Path) -> list[str]:
    found = [body for kind, body in blocks(page) if kind == "sh"]
    return [line for body in found for line in body.splitlines() if line]


def commands_in(page: Path, word: str) -> list[str]:
    """Every command that begins with `word`, in spans, shell blocks and prompts."""
    prompts = [line[2:] for _, body in blocks(page) for line in body.splitlines() if "$ " in line]
    lines = [*spans(page), *shell_lines(page), *prompts]
    return [line for line in lines if line.split()[:1] == [word]]


def source_files() -> Iterator[Path]:
    yield ROOT / "__main__.py"
    for folder in CODE:
        yield from sorted((ROOT / folder).rglob("*.py"))


def strings(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def resolve(line: str) -> tuple[Any, list[str]]:
    """The command that `line` calls and its arguments; fails on what does not exist."""
    words = [word for word in shlex.split(line)[1:] if word not in {"…", "..."}]
    command: Any = typer.main.get_command(app)
    while words and (children := getattr(command, "commands", {})):
        if words[0].startswith("-"):
            break
        assert words[0] in children, f"{line!r}: there is no command {words[0]!r}"
        command = children[words.pop(0)]
    known = {flag for param in command.params for flag in param.opts} | {"--help"}
    unknown = {word for word in words if word.startswith("--")} - known
    assert unknown == set(), f"{line!r}: there is no option {unknown}"
    return command, words


def runnable(line: str) -> None:
    """Fails unless the whole `line` is accepted; runs nothing."""
    command, words = resolve(line)
    command.make_context("agent-docker", words)


def alternatives(line: str) -> list[str]:
    """`gpu offers|logs` as one line for each of the words."""
    found = next((word for word in line.split() if "|" in word), None)
    return [line] if found is None else [line.replace(found, part) for part in found.split("|")]


# Generated parts.


def test_generated_parts_are_fresh() -> None:
    assert documentation.stale() == [], "run `make docs`"


def test_a_stale_page_is_named_and_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "docs").mkdir()
    page = tmp_path / "docs/outputs.md"
    page.write_text("by hand\n<!-- generated: outputs -->\nold\n<!-- end: outputs -->\nafter\n")
    part = {("docs/outputs.md", "outputs"): lambda: "new"}
    monkeypatch.setattr(documentation, "parts", lambda: part)
    assert documentation.main(["--check"], tmp_path) == 1
    assert "old" in page.read_text()
    assert documentation.main([], tmp_path) == 0
    assert page.read_text() == (
        "by hand\n<!-- generated: outputs -->\nnew\n<!-- end: outputs -->\nafter\n"
    )
    assert documentation.main(["--check"], tmp_path) == 0
    assert "is stale" in capsys.readouterr().out


def test_a_page_without_its_markers_is_an_error() -> None:
    with pytest.raises(AgentDockerError, match="lacks the markers"):
        documentation.put("text", "docs/x.md", "part", "body")


# Everything has its row or heading.


@pytest.mark.parametrize(
    ("model", "prefix"),
    [
        (FleetSettings, "fleet."),
        (Selection, "fleet.selection."),
        (SlotSet, "slots."),
        (Slot, "slots.slots[]."),
    ],
)
def test_every_setting_has_a_row_with_a_meaning(model: type[BaseModel], prefix: str) -> None:
    text = (ROOT / "docs/settings.md").read_text()
    for name, field in model.model_fields.items():
        key = field.alias or name
        row = next((ln for ln in text.splitlines() if ln.startswith(f"| `{prefix}{key}` |")), None)
        assert row is not None, f"{prefix}{key} is not in docs/settings.md"
        assert len(row.split(" | ")[-1].strip(" |")) > 8, f"{prefix}{key} has no meaning"


def test_every_output_has_a_row() -> None:
    text = (ROOT / "docs/outputs.md").read_text()
    fields = [field.alias or name for name, field in InstanceOutput.model_fields.items()]
    missing = [name for name in (*outputs.GPU_OUTPUTS, *fields) if f"| `{name}` |" not in text]
    assert missing == []


def test_every_command_has_a_heading_and_every_option_a_row() -> None:
    text = (ROOT / "docs/cli.md").read_text()
    for name, command in reference.commands():
        section = text.partition(f"\n### {name}\n")[2].partition("\n### ")[0]
        assert section, f"{name} is not in docs/cli.md"
        for param in command.params:
            if param.param_type_name == "option" and param.name != "help":
                assert f"`{param.opts[0]}" in section, f"{name} {param.opts[0]}"


def test_the_readme_names_every_command() -> None:
    text = (ROOT / "README.md").read_text()
    names = [name for name, _ in reference.commands() if name.split()[-1] not in {"up", "down"}]
    assert [name for name in names if f"`{name}" not in text] == []


def test_every_exit_code_is_explained() -> None:
    codes = {str(code) for code in reference.error_codes().values()}
    for page in ("README.md", "docs/cli.md"):
        text = (ROOT / page).read_text().replace("`", "")
        assert {code for code in codes if f"\n| {code} |" not in text} == set(), page


def test_every_variable_that_the_code_reads_is_documented() -> None:
    named = {text for path in source_files() for text in strings(path) if VARIABLE.fullmatch(text)}
    pages = (ROOT / "docs/settings.md", ROOT / "docs/start-script.md")
    documented = " ".join(page.read_text() for page in pages)
    # How the local profile finds its own processes again.
    inside = {
        "AGENT_DOCKER_CLUSTER",
        "AGENT_DOCKER_CLUSTER_PART",
        "AGENT_DOCKER_LOCAL_CLOUD",
        "AGENT_DOCKER_LOCAL_COMMAND",
        "AGENT_DOCKER_LOCAL_SERVICE",
    }
    assert {name for name in named - inside if f"`{name}`" not in documented} == set()


# What pages name exists.


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_relative_links_lead_somewhere(page: Path) -> None:
    for link in LINK.findall(prose(page)):
        if "://" in link:
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.exists(), f"{link} leads nowhere"
        if anchor:
            assert anchor in anchors(target), f"{link}: no such heading"


def anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", text.lower()).replace(" ", "-") for text in headings}


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_files_that_are_named_exist(page: Path) -> None:
    """A path with a folder and a known ending; `<...>` and `*` stand for many."""
    named = {
        span for span in spans(page) if re.fullmatch(r"[\w.-]+/[\w./-]+\.(py|sh|md|mod)", span)
    }
    assert {path for path in named if not (ROOT / path).exists()} == set()


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_make_targets_exist(page: Path) -> None:
    targets = set(TARGET.findall((ROOT / "Makefile").read_text()))
    named = {word for line in commands_in(page, "make") for word in line.split()[1:]}
    assert {word for word in named if re.fullmatch(r"[a-z-]+", word)} <= targets


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_agent_docker_commands_and_options_exist(page: Path) -> None:
    for line in commands_in(page, "agent-docker"):
        for each in alternatives(line):
            resolve(each)


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_shell_blocks_hold_commands_that_can_be_run(page: Path) -> None:
    for line in shell_lines(page):
        words = shlex.split(line)
        assert words[0] in SHELL, line
        if words[0] == "pulumi":
            assert words[1] in PULUMI_COMMANDS, line
        if words[0] == "agent-docker":
            runnable(line)
        parsed = subprocess.run(["bash", "-n", "-c", line], check=False, capture_output=True)
        assert parsed.returncode == 0, line


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_blocks_are_what_they_say(page: Path) -> None:
    for kind, body in blocks(page):
        if kind == "json":
            json.loads(body)
        elif kind == "mermaid":
            assert body.split()[0] in {"flowchart", "sequenceDiagram", "stateDiagram-v2"}
        elif kind == "python" and "..." not in body:
            ast.parse(body)


def test_pulumi_is_named_with_commands_that_it_has() -> None:
    named = {
        line.split()[1]
        for page in PAGES
        for line in commands_in(page, "pulumi")
        if len(line.split()) > 1
    }
    assert named - PULUMI_COMMANDS <= {"version", "install", "new", "package"}


def test_the_readme_quotes_messages_that_the_code_has() -> None:
    said = [text for path in source_files() for text in strings(path)]
    table = (ROOT / "README.md").read_text().partition("| message |")[2].partition("\n\n")[0]
    messages = [
        span for row in table.splitlines()[2:] for span in SPAN.findall(row.split(" | ")[0])
    ]
    fragments = {part for text in messages for part in re.split(r"\s*…\s*", text) if part.strip()}
    unknown = fragments - FROM_PULUMI - FROM_PYDANTIC
    assert {part for part in unknown if not any(part in text for text in said)} <= composed()


def composed() -> set[str]:
    """Parts of messages that the code puts together from names."""
    key = "VASTAI_API_KEY"
    return {
        f"{key} is not set",
        f"{key} and VAST_API_KEY hold different keys",
        "TAILSCALE_AUTH_KEY is not set: a machine could not join the tailnet",
        "REDIS_URL is not set",
        f"{UNCLEAR}:",
    }


def test_code_refers_to_pages_that_exist() -> None:
    for path in source_files():
        for name in re.findall(r"docs/[\w./-]+\w", path.read_text()):
            found = (ROOT / name).exists() or any((ROOT / "docs/adr").glob(f"{Path(name).name}*"))
            assert found, f"{path.relative_to(ROOT)} refers to {name}"


def test_hints_name_commands_that_exist() -> None:
    for path in source_files():
        for text in strings(path):
            for line in re.findall(r"`(agent-docker [^`]+)`", text):
                for each in alternatives(line):
                    resolve(each)


@pytest.mark.parametrize("offline", [True, False])
def test_the_recovery_command_that_a_refusal_names_can_be_run(offline: bool) -> None:  # noqa: FBT001
    runnable(recover_command("gpu", offline=offline))


def test_comments_of_the_settings_files_name_commands_that_exist() -> None:
    for path in ROOT.glob("Pulumi*.yaml"):
        for line in re.findall(r"`(agent-docker [^`]+)`", path.read_text()):
            resolve(line)


# Decisions.

ADRS = sorted((ROOT / "docs/adr").glob("0*.md"))


def test_decisions_are_numbered_without_gaps_and_listed() -> None:
    index = (ROOT / "docs/adr/README.md").read_text()
    assert [int(path.name[:4]) for path in ADRS] == list(range(1, len(ADRS) + 1))
    for path in ADRS:
        title = path.read_text().splitlines()[0].partition(". ")[2]
        assert f"| [{path.name[:4]}]({path.name}) | {title} |" in index


@pytest.mark.parametrize("path", ADRS, ids=lambda path: path.name)
def test_a_decision_is_one_page_with_its_bad_sides(path: Path) -> None:
    text = path.read_text()
    headings = re.findall(r"^## (.+)$", text, re.MULTILINE)
    assert headings == ["Context", "Decision", "Consequences", "Non-goals"]
    assert re.search(r"^Status: (accepted|superseded by \[\d{4}\])", text, re.MULTILINE)
    assert "\n- Bad: " in text
    assert len(text) < 4200


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_no_paths_of_a_machine_and_no_registries(page: Path) -> None:
    found = re.findall(
        r"(?:/home/|/root/|/Users/|/tmp/)\S*|\S*(?:pypi\.org|proxy\.golang)\S*", page.read_text()
    )
    assert found == []
