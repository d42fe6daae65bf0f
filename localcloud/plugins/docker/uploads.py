"""Files that are put into a container between its creation and its start."""

import base64
import binascii
import io
import tarfile
from pathlib import Path

from localcloud.plugins.model import PluginError
from localcloud.plugins.values import Values, flag_of, text_of

_PERMISSIONS = "0644"
_EXECUTABLE = "0744"


def archive(upload: Values) -> bytes:
    """One file as a tar to be unpacked at `/`. Raises PluginError for what cannot be read."""
    content = _content(upload)
    entry = tarfile.TarInfo(text_of(upload, "file").lstrip("/"))
    entry.size = len(content)
    entry.mode = int(permissions(upload), 8)
    for attribute, name in (("uid", "owner"), ("gid", "group")):
        owner = text_of(upload, name)
        if owner.isdecimal():
            setattr(entry, attribute, int(owner))
        elif owner:
            raise PluginError(
                f"upload of {text_of(upload, 'file')}: {name} is {owner!r}, expected a number:"
                " a container's names are not known outside"
            )
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        tar.addfile(entry, io.BytesIO(content))
    return packed.getvalue()


def permissions(upload: Values) -> str:
    """The file's mode in octal digits."""
    default = _EXECUTABLE if flag_of(upload, "executable") else _PERMISSIONS
    return text_of(upload, "permissions") or default


def _content(upload: Values) -> bytes:
    if "contentBase64" in upload:
        try:
            return base64.b64decode(text_of(upload, "contentBase64"), validate=True)
        except binascii.Error as error:
            raise PluginError(
                f"upload of {text_of(upload, 'file')}: contentBase64 is not base64: {error}"
            ) from error
    if text_of(upload, "source"):
        try:
            return Path(text_of(upload, "source")).read_bytes()
        except OSError as error:
            raise PluginError(f"upload of {text_of(upload, 'file')}: {error}") from error
    return text_of(upload, "content").encode()
