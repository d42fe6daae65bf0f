"""How a command ends when it cannot do what was asked: one message, one exit code, no traceback."""

import errno
import sys
from collections.abc import Generator, Sequence
from contextlib import contextmanager

from cli.signals import stop
from contracts.errors import AgentDockerError

INTERRUPTED = 130
USAGE = 2
_PLACES = {errno.EACCES, errno.EROFS, errno.ENOTDIR, errno.EPERM, errno.ENOENT, errno.EEXIST}


@contextmanager
def mistakes(arguments: Sequence[str] = ()) -> Generator[None]:
    """End the process with the message, the hint and the exit code of what went wrong."""
    as_json = "--json" in arguments
    try:
        yield
    except AgentDockerError as error:
        _end(error.message, error.hint, error.exit_code, as_json=as_json)
    except KeyboardInterrupt:
        _end("stopped", None, INTERRUPTED, as_json=as_json)
    except SystemExit as end:
        # Typer ends so: 2 after it has said what is wrong with the arguments, 130 for Ctrl-C.
        if end.code == INTERRUPTED:
            _end("stopped", None, INTERRUPTED, as_json=as_json)
        if end.code == USAGE and as_json:
            _show("the arguments are wrong", "see --help", USAGE)
        raise
    except BrokenPipeError:
        sys.exit(1)  # Whoever read our output has enough.
    except OSError as error:
        _end(*_of_system(error), 1, as_json=as_json)
    except Exception as error:
        # The engine's tools stand alone and have a base of their own with the same two fields.
        hint: str | None = getattr(error, "hint", None)
        if hint is None:
            raise
        _end(str(getattr(error, "message", error)), hint, 1, as_json=as_json)


def complain(message: str, hint: str | None, *, kind: str = "error") -> None:
    """Print an error as every command does."""
    from cli.views import talk  # noqa: PLC0415 - rich is not needed for an early Ctrl-C

    if kind:
        talk.print(f"[{'red' if kind == 'error' else 'yellow'}]{kind}:[/] ", end="")
    talk.print(message, markup=False)
    if hint:
        talk.print("[cyan]hint:[/cyan] ", end="")
        talk.print(hint, markup=False)


def _end(message: str, hint: str | None, code: int, *, as_json: bool) -> None:
    stop.obey_none()
    interrupted = code == INTERRUPTED
    complain(message, hint, kind="" if interrupted else "error")
    code = (stop.exit_code or code) if interrupted else code
    if as_json:
        _show(message, hint, code)
    sys.exit(code)


def _show(message: str, hint: str | None, code: int) -> None:
    from cli.views import show_json  # noqa: PLC0415 - see above

    show_json({"error": {"message": message, "hint": hint, "exitCode": code}})


def _of_system(error: OSError) -> tuple[str, str | None]:
    """The system's refusal: which file, why, and what helps."""
    message = f"{error.filename}: {error.strerror}" if error.filename else str(error)
    if error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}:
        return message, "free some space, then run the command again"
    if error.errno in _PLACES:
        hint = "is it writable? AGENT_DOCKER_LOCAL_DIR names another folder for the local profile"
        return message, hint
    return message, None
