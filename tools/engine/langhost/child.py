"""The first code of every child: runs a program, a module or a path, and ends with the host.

Run by the program's own Python as `child.py LIFELINE MODE ARGUMENT...`, so it imports the standard
library and the program's pulumi package, nothing else.
"""

import asyncio
import logging
import os
import runpy
import signal
import sys
import threading
import traceback
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn

# What the host's `programs.py` takes as "the user has been told"; also after an interrupt.
BAIL = 32


def main() -> None:
    """Do what the arguments say and exit as the program would."""
    heed_signals()
    lifeline, mode, target = sys.argv[1:4]
    if lifeline != "-":
        threading.Thread(target=end_with_host, args=(int(lifeline),), daemon=True).start()
    # Python put this file's folder there: the program must not import from it.
    here = str(Path(__file__).parent)
    sys.path[:] = [entry for entry in sys.path if entry != here]
    if mode == "program":
        import json  # noqa: PLC0415 - only this mode needs it

        run_program(**json.loads(target))
    sys.argv[:] = [target, *sys.argv[4:]]
    if mode == "module":
        sys.path.insert(0, str(Path.cwd()))
        runpy.run_module(target, run_name="__main__", alter_sys=True)
    else:
        runpy.run_path(target, run_name="__main__")


def heed_signals() -> None:
    """Heed the two by which the engine and the host end a child.

    Whoever started the engine may have ignored them, as a shell does for its background jobs.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def end_with_host(lifeline: int) -> None:
    """Wait for the end of a pipe that only the host holds open, then stop at once.

    Its engine is gone too, so no work that is left can be of use.
    """
    os.read(lifeline, 1)
    os._exit(1)


def run_program(program: str, arguments: list[str], runtime: dict[str, Any]) -> NoReturn:
    """Run a Pulumi program against the engine and exit with its code.

    0 done, BAIL told the user (an exception's traceback, as a diagnostic), 1 a RunError (its
    message only), or whatever the program gave to `sys.exit`.
    """
    try:
        import pulumi  # noqa: PLC0415 - its absence is reported
        import pulumi.runtime  # noqa: PLC0415 - likewise
    except ImportError:
        traceback.print_exc()
        sys.exit(f"{sys.executable} cannot import pulumi\nhint: install the project's requirements")
    secret_keys = pulumi.runtime.get_config_secret_keys_env()
    pulumi.runtime.set_all_config(pulumi.runtime.get_config_env(), secret_keys)
    pulumi.runtime.configure(pulumi.runtime.Settings(**runtime))
    sys.argv[:] = [program, *arguments]
    if Path(program).is_dir() and not Path(program, "__main__.py").exists():
        pulumi.log.error(f"no Python program at `{program}`, expected a `__main__.py`")
        sys.exit(BAIL)
    sys.exit(run_in_stack(program, runtime["parallel"]))


def run_in_stack(program: str, parallel: int) -> int:
    """Run the program's file on an event loop as wide as the update and return the exit code."""
    # An update that fails leaves futures unobserved on purpose; asyncio would report each.
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    # A registration blocks a thread; the SDK's own runner gives four per parallel operation.
    executor = ThreadPoolExecutor(max(parallel, 1) * 4)
    loop.set_default_executor(executor)
    code = exit_code(loop, program)
    executor.shutdown()
    return code


def exit_code(loop: asyncio.AbstractEventLoop, program: str) -> int:
    """Run the program until all it registered is settled; report what it raised."""
    import pulumi  # noqa: PLC0415 - present by now
    from pulumi.runtime import run_in_stack as in_stack  # noqa: PLC0415 - likewise

    def run() -> None:
        try:
            runpy.run_path(program, run_name="__main__")
        except KeyboardInterrupt:
            leave(BAIL)  # the SDK would first wait for what it has registered

    try:
        loop.run_until_complete(in_stack(run))
    except pulumi.RunError as error:
        pulumi.log.error(str(error))
        return 1
    except Exception as error:  # noqa: BLE001 - whatever a program raises is shown
        text = "".join(traceback.format_exception(error.with_traceback(own_frames(error, program))))
        pulumi.log.error("Program failed with an unhandled exception:\n" + text)
        return BAIL
    return 0


def own_frames(error: BaseException, program: str) -> TracebackType | None:
    """Return the traceback from the program's own file on; all of it if that is not in it."""
    main = Path(program, "__main__.py") if Path(program).is_dir() else Path(program)
    frame = error.__traceback__
    while frame is not None:
        # Compared as a whole: the project's folder may hold the environment with the SDK too.
        if Path(frame.tb_frame.f_code.co_filename) == main:
            return frame
        frame = frame.tb_next
    return error.__traceback__


def leave(code: int) -> NoReturn:
    """Exit without waiting for threads: theirs is an engine that no longer answers."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        leave(BAIL)
