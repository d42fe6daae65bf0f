"""httpx without its command line.

Where click is installed, importing httpx also imports click, rich and pygments for a command that
nobody calls here: 35 ms, a sixth of what our program adds to an update that changes nothing.
httpx takes the absence of that module as "no command line"; if it is ever renamed, this does
nothing.
"""

import sys

sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type]  # None means: not there

import httpx  # noqa: E402 - the line above must come first

__all__ = ["httpx"]
