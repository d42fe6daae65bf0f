#!/bin/bash
# The main process of a rented machine: join the tailnet, serve Ollama to it and to nobody else.
# docs/start-script.md tells the story. start_script.py drops comments, blank lines and indentation
# before this is sent (Vast.ai takes 4096 characters), hence no here-documents and few words.
set -euo pipefail
umask 77

# What a process was started with stays readable in /proc as long as it lives. So the key goes to a
# second start of this script through a pipe, and Vast's own key for the instance is dropped.
if [[ ${TAILSCALE_AUTH_KEY:-} ]]; then
  exec 3< <(printf '%s\n' "$TAILSCALE_AUTH_KEY")
  unset TAILSCALE_AUTH_KEY CONTAINER_API_KEY
  exec bash -c "$BASH_EXECUTION_STRING"
fi

version=1.102.4
home=${AGENT_DOCKER_HOME:-/opt/agent-docker}
delay=${AGENT_DOCKER_RETRY_DELAY:-5}

say() { printf 'agent-docker: %s\n' "$*"; }

die() {
  say "$*"
  exit 1
}

# bash runs a trap between foreground commands, but at once while it waits for a background one.
run() {
  "$@" &
  wait $!
}

# until COMMAND; do again WHAT || GIVE_UP; done: four tries, the pause doubles.
again() {
  say "$1: try $((++try)) failed"
  ((try < 4)) && run sleep $((delay * 2 ** (try - 1)))
}

# Logging out frees the machine's name at once. An ephemeral node that only goes silent keeps it for
# a while, and a recreated container would be called NAME-1.
trap '{
  trap "" TERM INT
  [[ ! ${tailscaled:-} ]] || timeout 5 "$bin/tailscale" --socket="$home/sock" logout
  kill $(jobs -p)
  wait
} >/dev/null 2>&1 || :' EXIT
trap 'exit 0' TERM INT

{ read -r key <&3 && exec 3<&-; } 2>/dev/null || die 'TAILSCALE_AUTH_KEY is not set'
[[ ${AGENT_DOCKER_SLOT:-} ]] || die 'AGENT_DOCKER_SLOT is not set'
id=${CONTAINER_ID:-${VAST_CONTAINERLABEL:-}}
id=${id#C.}
[[ $id =~ ^[0-9]+$ ]] || die 'no contract id in CONTAINER_ID or VAST_CONTAINERLABEL'
name=$AGENT_DOCKER_SLOT-$id

bin=$home/tailscale_${version}_$(dpkg --print-architecture)

fetch() {
  if command -v curl; then
    run curl -m300 -fsSLo "$2" "$1"
  elif command -v wget; then
    run wget -T60 -qO "$2" "$1"
  else
    run apt-get -qq update && run apt-get -qqy install ca-certificates curl &&
      run curl -m300 -fsSLo "$2" "$1"
  fi >/dev/null
}

# The folder gets its final name only when its content is verified and complete.
download() {
  local url=https://pkgs.tailscale.com/stable/${bin##*/}.tgz new=$home/new
  rm -rf "$new" && mkdir -p "$new" && fetch "$url" "$new/tgz" && fetch "$url.sha256" "$new/sum" &&
    echo "$(cut -c-64 "$new/sum") $new/tgz" | sha256sum -c --quiet &&
    tar -xzf "$new/tgz" -C "$new" --strip-components=1 && rm "$new/tgz" && mv "$new" "$bin"
}
try=0
until [[ -d $bin ]] || download; do
  again "downloading tailscale $version" || die 'tailscale is not installed'
done

# A state file and not `mem:`, so that a machine that was killed comes back as the same node.
rm -f "$home/sock"
"$bin/tailscaled" --tun=userspace-networking --statedir="$home" --socket="$home/sock" \
  >"$home/tailscaled.log" 2>&1 &
tailscaled=$!
for _ in {1..99}; do
  [[ ! -S $home/sock ]] || break
  run sleep .1
done

join() {
  local status=0 out
  run "$bin/tailscale" --socket="$home/sock" up --hostname="$name" --accept-dns=false \
    --timeout=60s --auth-key=file:<(printf %s "$key") >"$home/up.log" 2>&1 || status=$?
  out=$(<"$home/up.log")
  rm "$home/up.log"
  say "tailscale up: exit $status ${out//"$key"/***}"
  return $status
}
try=0
until join; do
  again "joining the tailnet as $name" || die 'not in the tailnet'
done
unset key

# The image sets OLLAMA_HOST=0.0.0.0:11434 and EXPOSEs the port, Vast.ai maps exposed ports to the
# internet, and Ollama has no login. So only the port is taken from the setting.
port=11434
[[ ! ${OLLAMA_HOST:-} =~ :([0-9]+)/?$ ]] || port=${BASH_REMATCH[1]}

# tailscaled passes a connection from the tailnet on to 127.0.0.1, same port. There a relay listens:
# bound to loopback, Ollama answers 403 to a Host header that is no local name (server/routes.go,
# allowedHostsMiddleware). The relay says `Host: localhost`, and `Connection: close` so that there
# is one header per connection. perl-base is in every Debian and Ubuntu image.
if [[ ${AGENT_DOCKER_LISTEN_ALL:-} != 1 ]]; then
  export OLLAMA_HOST=127.0.0.2:$port
  perl -MIO::Socket -e '
    sub pump { my ($in, $out) = @_; print $out $_ while sysread $in, $_, 65536; shutdown $out, 1 }
    $SIG{CHLD} = "IGNORE";
    $l = IO::Socket::INET->new(LocalAddr => shift, Listen => 128, ReuseAddr => 1) or die $@;
    for (;;) {
      $c = $l->accept or next;
      next if fork;
      until ($b =~ /\r\n\r\n/) { sysread $c, $b, 65536, length $b or exit }
      ($h, $b) = split /\r\n\r\n/, $b, 2;
      $h =~ s/\r\n(Host|Connection):[^\r]*//gi;
      $o = IO::Socket::INET->new(shift) or exit;
      print $o "$h\r\nHost: localhost\r\nConnection: close\r\n\r\n$b";
      $p = fork or pump($c, $o), exit;
      pump($o, $c);
      kill TERM => $p;
      exit
    }' "127.0.0.1:$port" "$OLLAMA_HOST" &
  relay=$!
fi

ollama serve &
ollama=$!

pull() { ollama show "$1" || ollama pull "$1"; } >"$home/pull.log" 2>&1

models() {
  until ollama list; do sleep .2; done >/dev/null 2>&1
  say "ollama answers at $OLLAMA_HOST"
  for model in ${AGENT_DOCKER_MODELS//,/ }; do
    try=0
    until pull "$model"; do
      again "pulling $model: $(tail -n1 "$home/pull.log")" || continue 2
    done
    say "model $model is ready"
  done
}
models &

# A machine that nobody can reach costs as much as one that works, so nothing is restarted in place:
# the container exits, the fleet sees that and replaces the machine. `wait -n` would do for this, but
# it passes over a child that died before it was called.
alive() { kill -0 "$1" 2>/dev/null; }
while alive "$ollama" && alive "${relay:-$ollama}"; do
  alive "$tailscaled" || die "tailscaled ended: $(tail -n1 "$home/tailscaled.log")"
  run sleep 1
done
die 'ollama or its relay ended'
