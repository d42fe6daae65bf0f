"""What a Postgres service has in it before anyone uses it: databases, extensions, its password."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import pulumi

from components.plain import Kind, Plain
from contracts.services import PostgresSchema

COMMAND = Kind(
    package="pulumi-command",
    token="command:local:Command",  # noqa: S106 - a type's name
    secret=("stdout", "stderr"),
    replaces=("triggers[*]",),
)
_SECONDS = 120


@dataclass(frozen=True, kw_only=True)
class PostgresBootstrapArgs:
    """`daemon` is its URL, `container` the container's name; `made` changes with each container."""

    schema: PostgresSchema
    daemon: str
    container: str
    made: pulumi.Input[str]
    password: pulumi.Input[str]


class PostgresBootstrap(pulumi.ComponentResource):
    """Runs idempotent SQL whenever the SQL or the container is another one.

    Scripts of the image run on empty data only, and a password of the environment is taken once:
    so databases, extensions and the password of the role are seen to here.
    """

    def __init__(
        self,
        name: str,
        args: PostgresBootstrapArgs,
        opts: pulumi.ResourceOptions | None = None,
        *,
        after: Sequence[pulumi.Resource] = (),
    ) -> None:
        super().__init__("agent-docker:nas:PostgresBootstrap", name, None, opts)
        schema = args.schema
        sql = pulumi.Output.secret(args.password).apply(lambda given: bootstrap_sql(schema, given))
        Plain(
            COMMAND,
            name,
            {
                # The SQL goes in on standard input: this is shown in errors and process lists.
                "create": shell(schema, args.daemon, args.container),
                "stdin": sql,
                "triggers": [args.made, sql.apply(_digest)],
                "logging": "none",
            },
            pulumi.ResourceOptions(parent=self, depends_on=list(after)),
        )
        self.register_outputs({})


def shell(schema: PostgresSchema, daemon: str, container: str) -> str:
    """The command: wait for the server inside its container, then have its own client run SQL."""
    ready = f"pg_isready -q -h 127.0.0.1 -U {schema.role} -d {schema.database}"
    client = f"psql -q -v ON_ERROR_STOP=1 -U {schema.role} -d {schema.database}"
    inside = f"until {ready}; do sleep 0.2; done; exec {client}"
    return f"timeout {_SECONDS} docker --host {daemon} exec -i {container} sh -c '{inside}'"


def bootstrap_sql(schema: PostgresSchema, password: str) -> str:
    """SQL that may run any number of times. Names are words by their settings' own patterns."""
    quoted = password.replace("'", "''")
    # A statement that fails is logged with its text, and this one holds the password.
    lines = ["SET log_min_error_statement = panic;", "SET log_statement = 'none';"]
    lines += [f"ALTER ROLE \"{schema.role}\" PASSWORD '{quoted}';"]
    lines += [
        f"SELECT 'CREATE DATABASE \"{name}\"' WHERE NOT EXISTS "  # noqa: S608 - a checked word
        f"(SELECT FROM pg_database WHERE datname = '{name}')\\gexec"
        for name in schema.databases
    ]
    for database in (schema.database, *schema.databases):
        lines.append(f'\\connect "{database}"')
        lines += [f'CREATE EXTENSION IF NOT EXISTS "{name}";' for name in schema.extensions]
    return "\n".join(lines) + "\n"


def _digest(sql: str) -> str:
    """What tells one SQL from another; of a secret text, so it is a secret too."""
    return hashlib.sha256(sql.encode()).hexdigest()
