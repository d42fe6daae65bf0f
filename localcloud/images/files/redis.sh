#!/bin/sh
# The entry point of the Redis stand-in: options and a configuration file alone start the server.
set -eu

case "${1:-redis-server}" in
-* | *.conf) set -- redis-server "$@" ;;
esac
echo "stand-in for redis: the redis-server of the machine that made this image" >&2
exec "$@"
