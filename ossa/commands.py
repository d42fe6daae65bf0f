"""Command lines: of the container, and of a probe that runs one."""

import shlex

from ossa import sources
from ossa.reader import Found, Reader
from ossa.spec import Sourced


def words(reader: Reader, found: Found) -> tuple[str, ...]:
    """A list of texts, or one text that is split as a shell would."""
    if isinstance(found.value, list):
        items = [Found(at=f"{found.at}/{n}", value=item) for n, item in enumerate(found.value)]
        texts = [reader.string(item) for item in items]
        return tuple(text for text in texts if text is not None)
    text = reader.text(found)
    if text is None:
        return ()
    try:
        return tuple(shlex.split(text))
    except ValueError:
        reader.error(found.at, "syntax", "a quote is never closed; write the command as a list")
        return ()


def command(reader: Reader) -> Sourced[tuple[str, ...]]:
    """What the container runs in place of its image's own program, arguments included."""
    for runtime in sources.RUNTIMES:
        found = reader.find(f"{runtime}.command")
        arguments = reader.find(f"{runtime}.args")
        if found is not None:
            rest = words(reader, arguments) if arguments is not None else ()
            return Sourced((*words(reader, found), *rest), found.at)
        if arguments is not None:
            message = "arguments without a command are not carried over; name the command too"
            reader.warning(arguments.at, "command", message)
    return Sourced(())
