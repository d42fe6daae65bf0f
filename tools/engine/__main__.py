"""`python -m tools.engine install|where [--json]`."""

import argparse
import json
import sys

from tools.engine import PINNED, Engine, EngineError, ensure, locate


def main(arguments: list[str] | None = None) -> int:
    """Print the engine's path, or everything about it as JSON; 1 with a reason when there is none.

    Progress goes to stderr.
    """
    parser = argparse.ArgumentParser(prog="python -m tools.engine", description=__doc__)
    parser.add_argument("command", choices=["install", "where"])
    parser.add_argument("--json", action="store_true", help="print all fields as one JSON object")
    options = parser.parse_args(arguments)
    try:
        engine = ensure(on_progress=_say) if options.command == "install" else locate()
    except EngineError as error:
        _say(f"error: {error}")
        return 1
    if engine is None:
        _say(f"error: there is no pulumi {PINNED} on the PATH or in the cache")
        _say("hint: python -m tools.engine install")
        return 1
    sys.stdout.write((_as_json(engine) if options.json else str(engine.pulumi)) + "\n")
    return 0


def _as_json(engine: Engine) -> str:
    return json.dumps(
        {
            "pulumi": str(engine.pulumi),
            "source": engine.source,
            "version": engine.version,
            "plugin_dirs": [str(folder) for folder in engine.plugin_dirs],
        },
        indent=2,
    )


def _say(line: str) -> None:
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
