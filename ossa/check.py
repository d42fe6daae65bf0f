"""Checks manifests: from the bytes of a file to a report for each document in it."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from ossa import schema as schemas
from ossa.documents import Document, documents
from ossa.header import header, version_text
from ossa.mapping import mapped, name_text
from ossa.reader import Reader
from ossa.remarks import remarks
from ossa.report import Report, ordered

if TYPE_CHECKING:
    from jsonschema.protocols import Validator


def check(
    data: bytes,
    *,
    file: str,
    strict: bool = False,
    schema: Mapping[str, object] | None = None,
    values: Mapping[str, str] | None = None,
) -> list[Report]:
    """A report for each document of a file, at least one; no input raises.

    `strict` makes errors of what breaks OSSA's rules, or the `schema`, outside the paths that
    the deployment reads. What a person should know about the deployment itself stays a warning:
    a missing or unpinned image, a strategy or a key that is not carried over. `values` fill in
    templates. A `schema` that cannot be used is a SettingsError.
    """
    validator = None if schema is None else schemas.validator(schema)
    return [
        _report(document, file=file, strict=strict, validator=validator)
        for document in documents(data, values)
    ]


def _report(
    document: Document, *, file: str, strict: bool, validator: "Validator | None"
) -> Report:
    if document.problems:
        return Report(
            file=file,
            document=document.number,
            dialect=None,
            api_version=None,
            kind=None,
            name=None,
            findings=ordered(document.problems),
            spec=None,
        )
    reader = Reader(document, strict=strict)
    head = header(reader)
    spec = None
    if head.known_kind and head.api_version is not None:
        spec = mapped(reader, head.api_version)
        remarks(reader, head.api_version.value)
    if validator is not None:
        schemas.apply(reader, validator, known_kind=head.known_kind)
    # What a person is told is looked up aside: a wrong type on the way is no second finding.
    aside = Reader(document)
    version = head.api_version.value if head.api_version is not None else version_text(aside)
    return Report(
        file=file,
        document=document.number,
        dialect=head.dialect,
        api_version=version,
        kind=head.kind,
        name=name_text(aside),
        findings=ordered(reader.findings),
        spec=None if reader.failed else spec,
    )
