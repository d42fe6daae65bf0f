"""Which Python runs a program, and what its environment says of it."""

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pulumi.runtime.proto import language_pb2


class NoInterpreterError(Exception):
    """The virtual environment that Pulumi.yaml names cannot be used."""


@dataclass(frozen=True)
class Interpreter:
    """A Python and the virtual environment it belongs to, if the project names one."""

    executable: str
    virtualenv: Path | None = None

    def activated(self, env: Mapping[str, str]) -> dict[str, str]:
        """Return `env` as `activate` would leave it."""
        changed = dict(env)
        if self.virtualenv is not None:
            changed.pop("PYTHONHOME", None)
            changed["VIRTUAL_ENV"] = str(self.virtualenv)
            changed["PATH"] = f"{self.virtualenv / 'bin'}{os.pathsep}{env.get('PATH', '')}"
        return changed


def interpreter_of(info: language_pb2.ProgramInfo) -> Interpreter:
    """Find the Python of a program; a relative `virtualenv` starts at the project's root.

    Raises NoInterpreterError when that folder is no virtual environment.
    """
    if "virtualenv" not in info.options.fields:
        return Interpreter(sys.executable)
    option = info.options.fields["virtualenv"].string_value
    folder = Path(info.root_directory, option)
    python = folder / "bin" / "python"
    if not os.access(python, os.X_OK):
        raise NoInterpreterError(
            f"runtime option `virtualenv` is {option!r}, but {python} does not exist\n"
            f"hint: create it with: python3 -m venv {folder}"
        )
    return Interpreter(str(python), folder)
