"""What can go wrong with the engine; callers branch on the type, users read message and hint.

EngineError
├── EngineMissing    no source could give one
├── ChecksumError    a download is not what its release says: always stops
├── BuildError       the Go build failed
└── BadEngineError   there is a binary, but it does not answer as the pinned version
"""


class EngineError(Exception):
    """Base of all; `hint` is one thing the user can do."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\nhint: {self.hint}"


class EngineMissing(EngineError):
    """There is no usable engine, and no source of one."""


class ChecksumError(EngineError):
    """A downloaded archive differs from its published checksum."""


class BuildError(EngineError):
    """Building from Go modules failed; the message ends with the compiler's last lines."""


class BadEngineError(EngineError):
    """A binary did not run or reports another version."""
