"""PostgreSQL: a custom-format dump of each database, with the server's own programs."""

import io
import secrets
from pathlib import Path

from contracts.backups import Fact
from operations.backups.errors import BackupFailed, ProgramFailed, Unfit, tells_of_trouble
from operations.backups.kinds import Scratch, Site, Subject
from operations.backups.store import Draft, Kept, Taken

_GLOBALS = "globals.sql"
_USER = '-U "${POSTGRES_USER:-postgres}"'
_DATABASES = (
    "SELECT datname FROM pg_database WHERE datallowconn AND NOT datistemplate ORDER BY datname"
)
# Tables with rows of their own, without those that an extension brings, and without materialized
# views that were never filled: to read one is an error.
_COUNTS = r"""
SELECT format('SELECT %L, count(*) FROM %I.%I', n.nspname || '.' || c.relname, n.nspname, c.relname)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'm') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
AND c.relispopulated
AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass
                AND d.objid = c.oid AND d.deptype = 'e')
ORDER BY 1 \gexec
"""
_BEGIN = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;\n"
# The dump and the counts see the very same rows: the counting session lends its snapshot.
_DUMP = r"""
SELECT pg_export_snapshot() AS snapshot \gset
\setenv SNAPSHOT :snapshot
\! pg_dump --format=custom --no-password --lock-wait-timeout=60000 --snapshot="$SNAPSHOT" -U "${POSTGRES_USER:-postgres}" >&3; echo "pg_dump|$?"
"""  # noqa: E501 - a command of psql's is one line
_PSQL = f"psql --no-psqlrc --no-password --quiet --tuples-only --no-align {_USER}"
_SCRIPT = (
    'export PGDATABASE="$1" PGOPTIONS="-c lock_timeout=60s"; '
    f'printf %s "$2" | {_PSQL} --set ON_ERROR_STOP=1 3>&1 1>&2'
)
# The whole dump is read and unpacked, not only its list at the front.
_CHECK = ("pg_restore", "--file=/dev/null")
_RESTORE = (
    'export PGDATABASE="$1" PGOPTIONS="-c lock_timeout=60s"; '
    "exec pg_restore --clean --if-exists --exit-on-error --single-transaction --no-password "
    f'{_USER} --dbname="$PGDATABASE"'
)
_CREATE = r"""
SELECT format('CREATE DATABASE %I', :'db')
WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = :'db') \gexec
"""
# Anything above is a program that is not there, or that was killed.
_OWN_CODES = range(1, 126)
_MAKE = f'printf %s "$2" | {_PSQL} --dbname=postgres --set ON_ERROR_STOP=1 --set db="$1"'


class Postgres:
    """See the module."""

    def back_up(self, site: Site, draft: Draft) -> Taken:
        """One file a database, and one with the roles, without their passwords."""
        facts: dict[str, Fact] = {}
        for number, database in enumerate(_databases(site), start=1):
            site.say(f"{site.subject.service}: dumping database {database}")
            path = draft.file(f"database-{number}.dump", holds=database)
            with path.open("wb") as file:
                told = site.box.copy_out(
                    ["sh", "-c", _SCRIPT, "sh", database, _BEGIN + _COUNTS + _DUMP], file
                )
            counts = _counted(told)
            # psql itself does not mind how a program of its own ended.
            if counts.pop("pg_dump", 1) != 0:
                raise BackupFailed(
                    f"{site.subject.service}: pg_dump of {database} failed: "
                    + "\n".join(told.strip().splitlines()[-5:])
                )
            site.box.feed(_CHECK, path)
            facts |= {f"rows of {database} {t}": Fact.of(n) for t, n in counts.items()}
        roles = draft.file(_GLOBALS, holds="roles")
        with roles.open("wb") as file:
            command = f"exec pg_dumpall --globals-only --no-role-passwords --no-password {_USER}"
            site.box.copy_out(["sh", "-c", command], file)
        return Taken(facts=facts, tools={"pg_dump": site.box.run("pg_dump", "--version")})

    def count(self, site: Site) -> dict[str, int]:
        """Rows of each table of each database."""
        found: dict[str, int] = {}
        for database in _databases(site):
            command = ["sh", "-c", _SCRIPT, "sh", database, _BEGIN + _COUNTS]
            told = site.box.copy_out(command, io.BytesIO())
            found |= {f"rows of {database} {t}": n for t, n in _counted(told).items()}
        return found

    def restore(self, site: Site, backup: Kept) -> None:
        """Roles first, then each database in one transaction; a database that is gone is made."""
        for file in backup.manifest.files:
            if file.name == _GLOBALS:
                # Roles that exist are no failure; one that is missing fails the restore below.
                site.box.feed(["sh", "-c", f"{_PSQL} --dbname=postgres"], backup.path(file))
        for file in backup.manifest.files:
            if file.name != _GLOBALS:
                site.say(f"{site.subject.service}: restoring database {file.holds}")
                site.box.run("sh", "-c", _MAKE, "sh", file.holds, _CREATE)
                _restore(site, file.holds, backup.path(file))

    def scratch(self, subject: Subject) -> Scratch:
        """The same user and database; nobody can connect, and the password is nobody's."""
        names = ("POSTGRES_USER", "POSTGRES_DB", "POSTGRES_INITDB_ARGS")
        env = {name: subject.env[name] for name in names if name in subject.env}
        return Scratch(env={**env, "POSTGRES_PASSWORD": secrets.token_urlsafe(18)})

    def prepare(self, site: Site, backup: Kept) -> None:
        """Nothing."""

    def ready(self, site: Site) -> bool:
        """Over TCP: the server that initializes the data listens on its socket alone."""
        return site.box.succeeds("sh", "-c", f"pg_isready -q -h 127.0.0.1 {_USER}")

    def fill(self, site: Site, backup: Kept) -> None:
        """As a service is restored."""
        self.restore(site, backup)

    def faults(self, _site: Site, _backup: Kept) -> list[str]:
        """None beyond the rows."""
        return []


def _databases(site: Site) -> list[str]:
    told = site.box.run("sh", "-c", f'{_PSQL} --dbname=postgres --command "$1"', "sh", _DATABASES)
    return told.splitlines()


def _restore(site: Site, database: str, dump: Path) -> None:
    try:
        site.box.feed(["sh", "-c", _RESTORE, "sh", database], dump)
    except ProgramFailed as error:
        if error.code not in _OWN_CODES or tells_of_trouble(error.message):
            raise
        raise Unfit(error.message) from None


def _counted(told: str) -> dict[str, int]:
    """Lines `name|number`; a warning is none."""
    rows = (line.rpartition("|") for line in told.splitlines())
    return {name: int(number) for name, bar, number in rows if bar and number.isdigit()}
