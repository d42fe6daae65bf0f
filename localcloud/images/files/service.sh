#!/bin/sh
# One of the platform's own services where there is no Go: busybox serves one file, /health.
set -eu

case "${1:-serve}" in
get) exec wget -q -O /dev/null "$2" ;;
esac
: "${PORT:?stand-in: set PORT to the port that the service listens on, as 3001}"
echo "stand-in for ${STANDIN_SERVICE:-a service} listens on port $PORT"
# A shell, because busybox alone as process 1 would not hear SIGTERM.
trap 'exit 0' TERM INT
httpd -f -p "$PORT" -h /srv/stand-in &
wait
