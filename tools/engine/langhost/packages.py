"""What is installed beside a program, asked of its own Python."""

import importlib.metadata
import json
import re
import subprocess

from .interpreters import Interpreter

ASK_PACKAGES = (
    "import importlib.metadata as m, json;"
    "print(json.dumps([[d.name, d.version, d.requires or []] for d in m.distributions()]))"
)
ASK_VERSION = "import platform; print(platform.python_version())"
REQUIREMENT_NAME = re.compile(r"[A-Za-z0-9._-]+")


def version(package: str) -> str:
    """Return the version of a package of the host's own environment."""
    return importlib.metadata.version(package)


def python_version(python: Interpreter) -> str:
    """Return the interpreter's version, such as 3.11.7."""
    return _ask(python, ASK_VERSION).strip()


def installed(python: Interpreter, *, everything: bool) -> list[tuple[str, str]]:
    """Return (name, version) of each package, or only of those that no other one requires."""
    found: list[tuple[str, str, list[str]]] = json.loads(_ask(python, ASK_PACKAGES))
    needed = {
        _plain(match.group())
        for _, _, requires in found
        for line in requires
        if "extra ==" not in line and (match := REQUIREMENT_NAME.match(line))
    }
    return sorted((n, v) for n, v, _ in found if everything or _plain(n) not in needed)


def _ask(python: Interpreter, question: str) -> str:
    answer = subprocess.run(  # noqa: S603 - the project's own interpreter
        [python.executable, "-I", "-c", question], capture_output=True, text=True, check=True
    )
    return answer.stdout


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
