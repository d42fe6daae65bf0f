#!/bin/sh
# The entry point of the PostgreSQL stand-in: the same variables and files as the official image.
set -eu

PGDATA="${PGDATA:-/var/lib/postgresql/data}"
POSTGRES_USER="${POSTGRES_USER:-postgres}"
POSTGRES_DB="${POSTGRES_DB:-$POSTGRES_USER}"
# Not through the loopback address: the temporary server has only its socket.
SOCKETS=/var/run/postgresql
# There while the first start is unfinished: what an interrupted one left is thrown away.
UNFINISHED="$PGDATA/.stand-in-unfinished"

say() { echo "stand-in for postgres: $*"; }

password() {
    if [ -n "${POSTGRES_PASSWORD_FILE:-}" ]; then
        head -n 1 "$POSTGRES_PASSWORD_FILE"
    else
        printf '%s\n' "${POSTGRES_PASSWORD:-}"
    fi
}

sql() {
    psql --quiet --no-psqlrc --set ON_ERROR_STOP=1 --host "$SOCKETS" --username "$POSTGRES_USER" "$@"
}

begin() {
    [ -n "$(password)" ] || {
        say "set POSTGRES_PASSWORD or POSTGRES_PASSWORD_FILE: the first start needs one" >&2
        exit 1
    }
    say "first start: makes the cluster in $PGDATA"
    # Only its own leavings: initdb refuses a folder in which there is anything else.
    [ ! -e "$UNFINISHED" ] || find "$PGDATA" -mindepth 1 -delete
    # shellcheck disable=SC2086 # more than one argument, as in the official image
    password | initdb --pgdata "$PGDATA" --username "$POSTGRES_USER" --pwfile /dev/stdin \
        --auth-local trust --auth-host scram-sha-256 ${POSTGRES_INITDB_ARGS:-} >/dev/null
    : >"$UNFINISHED"
    echo "host all all all scram-sha-256" >>"$PGDATA/pg_hba.conf"
    pg_ctl start --pgdata "$PGDATA" --silent --wait \
        --options "-c listen_addresses='' -k $SOCKETS"
    if [ "$POSTGRES_DB" != postgres ]; then
        echo 'CREATE DATABASE :"db"' | sql --dbname postgres --set "db=$POSTGRES_DB"
    fi
    for file in /docker-entrypoint-initdb.d/*.sql; do
        [ ! -f "$file" ] || sql --dbname "$POSTGRES_DB" --file "$file"
    done
    pg_ctl stop --pgdata "$PGDATA" --silent --wait --mode fast
    rm "$UNFINISHED"
}

case "${1:-postgres}" in
postgres) [ $# -eq 0 ] || shift ;;
-*) ;;
*) exec "$@" ;;
esac

# An interruption before the server runs: nothing to keep.
trap 'exit 143' TERM INT
if [ ! -s "$PGDATA/PG_VERSION" ] || [ -e "$UNFINISHED" ]; then
    begin
fi
# A postmaster takes SIGTERM as "wait until every client has left".
trap 'kill -INT "$server"' TERM INT
postgres -D "$PGDATA" -c "listen_addresses=*" -k "$SOCKETS" "$@" &
server=$!
code=0
wait "$server" || code=$?
# The first wait ends with the signal, the second one with the server.
while kill -0 "$server" 2>/dev/null; do
    wait "$server" && code=0 || code=$?
done
exit "$code"
