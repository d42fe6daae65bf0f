"""Chooses its own exit code."""

import sys

sys.exit(7)
