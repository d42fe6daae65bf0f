"""The pinned Pulumi engine: found or installed once, and the environment its children get."""

from tools.engine.environment import child_environment
from tools.engine.errors import (
    BadEngineError,
    BuildError,
    ChecksumError,
    EngineError,
    EngineMissing,
)
from tools.engine.model import PINNED, Engine, Source
from tools.engine.resolve import ensure, locate

__all__ = [
    "PINNED",
    "BadEngineError",
    "BuildError",
    "ChecksumError",
    "Engine",
    "EngineError",
    "EngineMissing",
    "Source",
    "child_environment",
    "ensure",
    "locate",
]
