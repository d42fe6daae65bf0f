"""The house is as docs/architecture.md says: folders, imports, sizes."""

import ast
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeGuard

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs/architecture.md"
CONFIG: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
PACKAGES: list[str] = CONFIG["tool"]["importlinter"]["root_packages"]
CONTRACTS: list[dict[str, Any]] = CONFIG["tool"]["importlinter"]["contracts"]
LAYERS = {"agents", "gpu", "nas"}
PROVIDER_SDKS = {"pulumi_docker", "pulumi_kubernetes", "pulumi_cloudflare", "pulumi_command"}

# One import that must not be, for each contract.
VIOLATIONS = {
    "Deploy half: stacks over components over providers and ossa over contracts": (
        "providers/vastai/stray.py",
        "import components.gpu_fleet",
    ),
    "Service half: cli over autoscaler over operations over contracts": (
        "operations/stray.py",
        "import cli.app",
    ),
    "Services reach the program only through the engine": (
        "operations/stray.py",
        "import providers.vastai.instance",
    ),
    "Decisions and data know nothing of Pulumi": (
        "providers/vastai/offers.py",
        "import pulumi",
    ),
    "Contracts, the engine tools and the local cloud stand alone": (
        "tools/stray.py",
        "import cli.app",
    ),
    "The local cloud sees contracts only": (
        "localcloud/stray.py",
        "import providers.vastai.client",
    ),
    "Policies are pure: they see the autoscaler's plain data and nothing else": (
        "autoscaler/model.py",
        "import operations.stray",
    ),
    "The autoscaler reaches stacks through operations only": (
        "autoscaler/stray.py",
        "import tools.engine",
    ),
}


def python_files(*folders: str) -> list[Path]:
    found = [path for folder in folders for path in (ROOT / folder).rglob("*.py")]
    return sorted([*found, *([ROOT / "__main__.py"] if set(folders) >= {"stacks"} else [])])


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def imports(path: Path, *, lazily: bool = True) -> set[str]:
    """Every module that `path` imports; with `lazily` also those inside functions."""
    tree = ast.parse(path.read_text())
    nodes: Iterator[ast.AST] = ast.walk(tree) if lazily else iter(tree.body)
    found: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def top(modules: set[str]) -> set[str]:
    return {module.partition(".")[0] for module in modules}


# The tree.


def drawn() -> set[str]:
    """The folders that the page draws."""
    block = PAGE.read_text().partition("<!-- generated: tree -->")[2].partition("<!-- end")[0]
    trail: list[str] = []
    found: set[str] = set()
    for indent, folder in re.findall(r"^( *)([\w-]+)/(?: |$)", block, re.MULTILINE):
        trail = [*trail[: len(indent) // 2], folder]
        found.add("/".join(trail))
    return found


def test_the_drawn_tree_is_the_real_one() -> None:
    packages = {
        name(init.parent) for folder in PACKAGES for init in (ROOT / folder).rglob("__init__.py")
    }
    tiers = {name(test.parent) for test in (ROOT / "tests").glob("*/test_*.py")}
    assert drawn() == packages | tiers | {
        "docs",
        "docs/adr",
        "examples",
        "examples/agents",
        "tests",
    }


def test_no_folder_with_code_is_left_out_of_the_checks() -> None:
    roots = {name(path.parent) for path in ROOT.glob("[a-z]*/__init__.py")}
    assert roots == set(PACKAGES) == set(CONFIG["tool"]["deptry"]["known_first_party"])


def test_every_package_says_what_lives_in_it() -> None:
    inits = [init for folder in PACKAGES for init in (ROOT / folder).rglob("__init__.py")]
    assert [
        name(init) for init in inits if not ast.get_docstring(ast.parse(init.read_text()))
    ] == []


# Imports.


def test_only_operations_imports_the_automation_api() -> None:
    users = {
        name(path)
        for path in python_files(*PACKAGES)
        if any(module.startswith("pulumi.automation") for module in imports(path))
    }
    assert {path for path in users if not path.startswith("operations/")} == set()


def test_nothing_imports_a_providers_sdk() -> None:
    users = {name(path) for path in python_files(*PACKAGES) if top(imports(path)) & PROVIDER_SDKS}
    assert users == set()


def modules_behind(path: Path, seen: set[Path]) -> set[str]:
    """Everything outside our own that importing `path` may load."""
    seen.add(path)
    found: set[str] = set()
    for module in imports(path):
        inner = ROOT / (module.replace(".", "/") + ".py")
        package = ROOT / module.replace(".", "/") / "__init__.py"
        for file in (inner, package):
            if file.exists() and file not in seen:
                found |= modules_behind(file, seen)
        if top({module}) - set(PACKAGES):
            found.add(module)
    return found


@pytest.mark.parametrize("layer", sorted(LAYERS))
def test_a_stack_loads_no_providers_sdk(layer: str) -> None:
    loaded = top(modules_behind(ROOT / f"stacks/{layer}.py", set()))
    assert "pulumi" in loaded
    assert {module for module in loaded if module.startswith("pulumi_")} == set()


def test_every_layer_has_its_stack() -> None:
    layers = re.search(r"^LAYERS = (.+)$", (ROOT / "__main__.py").read_text(), re.MULTILINE)
    assert layers is not None
    assert set(ast.literal_eval(layers[1])) == LAYERS
    assert {layer for layer in LAYERS if not (ROOT / f"Pulumi.{layer}.yaml").exists()} == set()


@pytest.mark.parametrize("package", ["providers", "providers/vastai"])
def test_provider_packages_import_nothing(package: str) -> None:
    assert imports(ROOT / package / "__init__.py") == set()


def test_the_command_loads_engine_tools_and_local_cloud_lazily() -> None:
    eager = {
        name(path): top(imports(path, lazily=False)) & {"tools", "localcloud"}
        for path in python_files("cli")
    }
    assert {path: found for path, found in eager.items() if found} == {}


def test_the_command_starts_without_docker() -> None:
    loaded = "import sys, cli.app; print(*{'docker', 'minio', 'requests'} & set(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", loaded], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == []


# Import-linter's contracts break when they should.


def modules_named() -> set[str]:
    names: set[str] = {*PACKAGES, "components.gpu_fleet", "cli.app"}
    for contract in CONTRACTS:
        for key in ("layers", "source_modules", "forbidden_modules"):
            names |= {module for module in contract.get(key, ()) if top({module}) <= set(PACKAGES)}
    return names


@pytest.fixture
def skeleton(tmp_path: Path) -> Path:
    """Our packages without their content, under our contracts."""
    for module in sorted(modules_named()):
        path = tmp_path / module.replace(".", "/")
        real = ROOT / module.replace(".", "/")
        file = path / "__init__.py" if real.is_dir() else path.with_suffix(".py")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    for init in [folder / "__init__.py" for folder in tmp_path.rglob("*") if folder.is_dir()]:
        init.touch()
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    env = {"PYTHONPATH": str(folder), "PATH": "/usr/bin:/bin", "NO_COLOR": "1", "COLUMNS": "200"}
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)


def test_every_contract_has_its_violation() -> None:
    assert {contract["name"] for contract in CONTRACTS} == set(VIOLATIONS)


def test_the_contracts_hold_without_a_violation(skeleton: Path) -> None:
    done = lint(skeleton)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("contract", sorted(VIOLATIONS))
def test_a_contract_breaks(contract: str, skeleton: Path) -> None:
    file, line = VIOLATIONS[contract]
    (skeleton / file).write_text(line + "\n")
    done = lint(skeleton)
    assert done.returncode == 1, done.stdout + done.stderr
    assert f"{contract} BROKEN" in done.stdout


# Sizes.


def lines(path: Path) -> int:
    return len(path.read_text().splitlines())


def test_the_entry_point_is_short() -> None:
    assert lines(ROOT / "__main__.py") <= 20


def test_stacks_only_wire() -> None:
    assert {name(path): lines(path) for path in python_files("stacks") if lines(path) > 80} == {}


def test_no_file_is_too_long_to_be_read() -> None:
    long = {name(path): lines(path) for path in python_files(*PACKAGES) if lines(path) > 400}
    assert long == {}


# Tests.


def test_every_test_is_collected() -> None:
    """A test in a file or class that pytest passes over proves nothing, and nobody sees it."""
    assert CONFIG["tool"]["pytest"]["ini_options"]["testpaths"] == ["tests"]
    assert not {"python_files", "python_functions"} & set(CONFIG["tool"]["pytest"]["ini_options"])
    dead: set[str] = set()
    for path in (ROOT / "tests").rglob("*.py"):
        for holder in ast.walk(ast.parse(path.read_text())):
            for node in ast.iter_child_nodes(holder):
                if not _is_test(node):
                    continue
                in_class = isinstance(holder, ast.ClassDef) and holder.name.startswith("Test")
                found = path.name.startswith("test_") and (
                    isinstance(holder, ast.Module) or in_class
                )
                dead |= set() if found else {f"{name(path)}::{node.name}"}
    assert dead == set()


def _is_test(node: object) -> TypeGuard[ast.FunctionDef | ast.AsyncFunctionDef]:
    if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        return False
    return node.name.startswith("test_")


def test_no_two_tests_of_a_file_share_a_name() -> None:
    twice: set[str] = set()
    for path in (ROOT / "tests").rglob("test_*.py"):
        body = ast.parse(path.read_text()).body
        tests = [node.name for node in body if _is_test(node)]
        twice |= {f"{name(path)}::{test}" for test in tests if tests.count(test) > 1}
    assert twice == set()
