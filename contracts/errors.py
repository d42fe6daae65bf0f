"""The one base of every error a person may see."""


class AgentDockerError(Exception):
    """Something a person can act on: what, which value, what is expected.

    `hint` says what to do next; `exit_code` is what the command line ends with.
    A subclass exists where callers branch on it, not for every message.
    """

    exit_code = 1

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\nhint: {self.hint}" if self.hint else self.message


class SettingsError(AgentDockerError):
    """A setting is missing or wrong; nothing was changed."""

    exit_code = 2
