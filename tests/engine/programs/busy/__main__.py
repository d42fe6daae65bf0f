"""Works on something of its own, and cleans up when it is interrupted."""

import os
import threading
from pathlib import Path

folder = Path(os.environ["TEST_FOLDER"])
try:
    (folder / "program").write_text(f"{os.getpid()} {os.getppid()}")
    threading.Event().wait(60)
finally:
    (folder / "cleaned").touch()
